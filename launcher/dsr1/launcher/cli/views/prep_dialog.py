"""How prep talks: with a person, or in JSON with a program, which gets the end alone and is never
asked."""

import sys
from collections.abc import Iterable, Mapping

import typer
from rich.text import Text

from dsr1.hosts.errors import InputError
from dsr1.launcher.cli.answers.envelope import ANSWER, AnswerError
from dsr1.launcher.cli.views.console import make_console


class PrepDialog:
    """`yes`: change hosts without asking."""

    def __init__(self, as_json: bool, yes: bool) -> None:
        self._as_json, self._yes = as_json, yes

    def refuse_unattended(self) -> None:
        if not self._yes and (self._as_json or not sys.stdin.isatty()):
            raise InputError(
                "nobody can be asked for confirmation (no terminal, or --json); give --yes to"
                " change hosts without asking"
            )

    def show(self, lines: Iterable[Text]) -> None:
        if not self._as_json:
            console = make_console(highlight=False, soft_wrap=True)
            for line in lines:
                console.print(line)

    def confirm(self, question: str) -> None:
        """Typer's Abort, exit code 1: no."""
        if not self._yes:
            typer.confirm(question, abort=True)

    def end(self, plain: Mapping[str, object], unreached: Mapping[str, str]) -> None:
        if self._as_json:
            lost = (AnswerError(error, host) for host, error in unreached.items())
            ANSWER.put("prep", {"hosts": dict(plain)}, lost)
        for error in unreached.values():
            print(f"dsr1: {error}", file=sys.stderr)
