"""`dsr1 drain`: a host that nothing of a run is on any more, while the run serves."""

from typing import Annotated

import typer

from dsr1.launcher.cli.change.options import RunArgument
from dsr1.launcher.cli.views.changes import print_change
from dsr1.launcher.operate.changes import want_drain
from dsr1.launcher.operate.status import find_any

DrainedHost = Annotated[str, typer.Argument(metavar="HOST", help="The host, as the plan has it.")]


def drain(run: RunArgument, host: DrainedHost) -> None:
    """Take a run's engines off a host, so that it may be rebooted or repaired.

    They move to the recipe's spares, or stop where there are none. Requests get their time (recipe
    timeouts.drain). `dsr1 restart RUN ENGINE` starts one that was stopped.
    """
    found = find_any(run)
    print_change(found, want_drain(found, host, f"dsr1 drain {host}"))
    print(f"{host}: nothing of {found.name} is on it any more")
