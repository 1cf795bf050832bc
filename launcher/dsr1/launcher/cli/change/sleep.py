"""`dsr1 sleep` and `dsr1 wake`: engines that keep their processes, and give their memory."""

from typing import Annotated

import typer

from dsr1.launcher.cli.change.options import RunArgument
from dsr1.launcher.cli.views.changes import print_change
from dsr1.launcher.operate.changes import want_sleep, want_wake
from dsr1.launcher.operate.status import find_any

OneEngine = Annotated[
    str | None, typer.Argument(metavar="ENGINE", help="One engine; default: all of them.")
]


def sleep(run: RunArgument, engine: OneEngine = None) -> None:
    """Put engines of a run to sleep: they free their GPUs' memory.

    All ranks of an engine, or none. It leaves the router; requests have the recipe's timeouts.drain
    before. Memory is freed with vLLM's flag enable-sleep-mode alone.
    """
    found = find_any(run)
    print_change(found, want_sleep(found, engine, "dsr1 sleep"))


def wake(run: RunArgument, engine: OneEngine = None) -> None:
    """Wake engines that sleep; each is asked before it counts.

    One that can't be woken counts as failed, and is restarted as the recipe allows.
    """
    found = find_any(run)
    print_change(found, want_wake(found, engine, "dsr1 wake"))
