"""`dsr1 exec`: one command on many hosts, for the operator."""

from typing import Annotated

import typer

from dsr1.hosts.inventory.names import fold_names
from dsr1.hosts.transport.exec import fold_results, run_on_all
from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.options.common import AsJson, RequiredHostOptions


def exec_(
    command: Annotated[
        list[str],
        typer.Argument(metavar="COMMAND", help="The command and its arguments, after --."),
    ],
    hosts: RequiredHostOptions,
    timeout: Annotated[
        float,
        typer.Option("--timeout", min=1, metavar="SECONDS", help="How long each host may take."),
    ] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Run a command on every host.

    Its arguments are passed on as they are; no shell reads them. Equal outputs are shown once.
    """
    results = run_on_all(hosts.accesses(), command, timeout)
    if as_json:
        ANSWER.put("exec", results)
    else:
        for result, names in fold_results(results).items():
            head = f"--- {fold_names(names)}{_ending(result.code)}"
            print(f"{head}\n{result.text.rstrip()}")
    if any(result.code != 0 for result in results.values()):
        raise typer.Exit(4)


def _ending(code: int | None) -> str:
    if code is None:
        return " (not run)"
    return " (ended by a signal)" if code < 0 else f" (exit status {code})" if code else ""
