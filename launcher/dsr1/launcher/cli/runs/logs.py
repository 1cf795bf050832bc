"""`dsr1 logs`: what every process of a run has logged."""

from typing import Annotated

import typer

from dsr1.launcher.cli.options.common import Follow, RunName
from dsr1.launcher.cli.views.logs import print_logs
from dsr1.launcher.operate.logs import only_causes, stream_logs
from dsr1.launcher.operate.status import find_any, refuse_unplanned


def logs(
    run: RunName = None,
    follow: Follow = False,
    errors: Annotated[
        bool, typer.Option("--errors", help="Only causes of failures, and what each means.")
    ] = False,
) -> None:
    """Print the logs of every process of a run.

    Each line begins with the name of its process. With --errors, what only follows from a failure
    elsewhere is left out.
    """
    found = find_any(run)
    refuse_unplanned(found)
    chunks = stream_logs(found, follow)
    kept = filter(None, map(only_causes, chunks)) if errors else chunks
    print_logs(kept, flush=follow)
