"""`dsr1 report`: one page of a run, to hand on."""

import time
from pathlib import Path
from typing import Annotated

import typer

from dsr1.hosts.errors import InputError
from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.options.common import RunName
from dsr1.launcher.operate.backends import backend_of
from dsr1.launcher.operate.bundle.archive import make_redactor
from dsr1.launcher.operate.status import find_any
from dsr1.launcher.report.contents import make_page
from dsr1.launcher.report.html import render_html
from dsr1.launcher.run.store import Run


def report(
    run: RunName = None,
    other: Annotated[
        str | None, typer.Argument(metavar="OTHER", help="Another run, to compare it with.")
    ] = None,
    to: Annotated[
        str, typer.Option("--to", metavar="FILE", help="Default: RUN-report.html, here.")
    ] = "",
) -> None:
    """Write a page of HTML about a run: how it started, what it did, how to repeat it.

    One file, which loads nothing. With a second run, what differs comes first. Secrets, users and
    addresses are replaced as in a bundle.
    """
    runs = [find_any(run), *([find_any(other)] if other else [])]
    target = Path(to or f"{'-'.join(one.name for one in runs)}-report.html")
    write_report(runs, target)
    ANSWER.put("report", {"file": str(target)})
    print(f"{target}: look through it before you hand it on")


def write_report(runs: list[Run], target: Path) -> None:
    """InputError: the file is there already, or can't be written."""
    pages = [make_page(one, backend_of(one).state(one)) for one in runs]
    redactors = [make_redactor(one) for one in runs]

    def redact(text: str) -> str:
        for redactor in redactors:
            text = redactor.redact(text)
        return text

    html = render_html(pages, redact, time.time())
    try:
        with target.open("x", encoding="utf-8", errors="backslashreplace") as file:
            file.write(html)
    except FileExistsError:
        raise InputError(f"{target}: is there already; name another with --to") from None
    except OSError as error:
        raise InputError(f"{target}: can't be written: {error.strerror}") from None
