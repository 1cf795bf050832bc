"""`dsr1 explain`: what a check looks at, and what to do about it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from dsr1.hosts.errors import InputError
from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.options.completion import complete_checks
from dsr1.launcher.recipe.explain import suggestion

IN_WHEEL = Path(__file__).with_name("checks.md")
IN_CHECKOUT = Path(__file__).parents[5] / "docs" / "checks.md"


def explain(
    check: Annotated[
        str,
        typer.Argument(
            metavar="CHECK",
            help="A check's id, or a kind of checks: gpu.xid, gpu.",
            autocompletion=complete_checks,
        ),
    ],
) -> None:
    """Explain a check: what it looks at, when it fails, and what to do.

    A kind (gpu, ib) explains all checks of it.
    """
    sections = read_sections()
    found = {name: text for name, text in sections.items() if f"{name}.".startswith(f"{check}.")}
    if not found:
        near = suggestion(check, list(sections))
        raise InputError(f"{check!r} is no check{near}; `dsr1 check --all` lists those of a host")
    ANSWER.put("explained-checks", found)
    if ANSWER.is_wanted:
        return
    print("\n\n".join(f"{name}\n{text}" for name, text in found.items()))


def read_sections() -> Mapping[str, str]:
    """By check's id, from the page of checks, which the wheel carries."""
    page = IN_WHEEL if IN_WHEEL.exists() else IN_CHECKOUT
    parts = re.split(r"^## (\S+)\n", page.read_text(), flags=re.MULTILINE)[1:]
    return {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}
