"""A change's progress, a line for every engine that has it behind it."""

from dsr1.launcher.lifecycle.changes import WantedChange
from dsr1.launcher.operate.changes import follow_change
from dsr1.launcher.run.store import Run

PAST = {"restart": "restarted", "move": "moved", "stop": "stopped"}


def print_change(run: Run, change: WantedChange) -> None:
    told = 0

    def show(known: WantedChange) -> None:
        nonlocal told
        for engine in known.engines[told : known.done]:
            print(f"{engine}: {PAST[known.what]}", flush=True)
        told = known.done

    follow_change(run, change, show)
