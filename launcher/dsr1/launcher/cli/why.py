"""`dsr1 why`: the first cause of a failure, of a run or of a folder of logs."""

import json
from pathlib import Path
from typing import Annotated

import typer

from dsr1.launcher.cli.options.common import AsJson
from dsr1.launcher.operate.status import find_any
from dsr1.launcher.triage.folder import read_folder
from dsr1.launcher.triage.judge import find_cause
from dsr1.launcher.triage.render import cause_to_plain, render_why
from dsr1.launcher.triage.table import load_rules


def why(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN|FOLDER]",
            help="The run's name, default: the newest run; or a folder of logs.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show why a run failed, and what to do about it.

    Names the first cause, its rank and its host.
    """
    folder = Path(run) if run and Path(run).is_dir() else find_any(run).folder
    cause = find_cause(read_folder(folder, {}), load_rules(), {})
    if as_json:
        print(json.dumps(cause_to_plain(cause) if cause else None, indent=2))
    elif cause is None:
        print(f"{folder}: nothing in its logs says that anything failed")
    else:
        print("\n".join(render_why(cause)))
