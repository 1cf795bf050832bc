"""`dsr1 restart`: engines anew, one after the other."""

from typing import Annotated

import typer

from dsr1.launcher.cli.change.options import RunArgument
from dsr1.launcher.cli.views.changes import print_change
from dsr1.launcher.operate.changes import want_restart
from dsr1.launcher.operate.status import find_any

Target = Annotated[
    str | None,
    typer.Argument(metavar="ENGINE|HOST", help="An engine, or a host; default: all engines."),
]


def restart(run: RunArgument, target: Target = None) -> None:
    """Restart engines of a run that serves, one after the other.

    Each finishes its requests (recipe timeouts.drain), and is asked before the next one's turn.
    The first that doesn't serve again ends it: the others are left as they are.
    """
    found = find_any(run)
    print_change(found, want_restart(found, target, "dsr1 restart"))
