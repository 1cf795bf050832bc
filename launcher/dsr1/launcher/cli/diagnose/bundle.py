"""`dsr1 bundle`: an archive for a bug report."""

from pathlib import Path
from typing import Annotated

import typer

from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.options.common import RunName
from dsr1.launcher.operate.bundle.archive import write_bundle
from dsr1.launcher.operate.status import find_any


def bundle(
    run: RunName = None,
    to: Annotated[
        str,
        typer.Option("--to", metavar="FILE", help="Default: RUN-bundle.tar.gz, here."),
    ] = "",
) -> None:
    """Pack all that tells of a run into one archive for a bug report.

    Logs (their ends and the causes), plan, recipe, facts, events, evidence, versions, and why it
    failed. Secrets, tokens, user names and addresses are replaced; its README.txt states how.
    """
    found = find_any(run)
    target = Path(to or f"{found.name}-bundle.tar.gz")
    files = write_bundle(found, target)
    ANSWER.put("bundle", {"file": str(target), "files": files})
    print(f"{target}: {files} files; look through it before you send it")
