"""`dsr1 scale`: more or fewer replicas, while the others serve."""

from typing import Annotated

import typer

from dsr1.launcher.cli.change.options import NewHostOptions, RunArgument
from dsr1.launcher.cli.views.changes import NOTHING, print_change, put_change
from dsr1.launcher.operate.scaling import parse_scale, want_scale
from dsr1.launcher.operate.status import find_any

Wanted = Annotated[
    list[str],
    typer.Argument(metavar="ENGINE=REPLICAS", help="An engine of the recipe, and how many of it."),
]


def scale(run: RunArgument, wanted: Wanted, hosts: NewHostOptions) -> None:
    """Run more or fewer replicas of an engine, while the others serve.

    A new one is started and asked before it counts; one that goes finishes its requests (recipe
    timeouts.drain). Where one can't be started, all is as before, and the exit code is 4.
    """
    counts = parse_scale(wanted)
    found = find_any(run)
    change = want_scale(found, counts, hosts.accesses(), f"dsr1 scale {' '.join(wanted)}")
    if change is None:
        put_change(found, NOTHING)
        print(f"{found.name}: has so many already")
        return
    print_change(found, change)
