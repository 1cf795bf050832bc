"""A change's progress, a line for every engine that has it behind it."""

from dsr1.launcher.lifecycle.changes import WantedChange
from dsr1.launcher.operate.changes import follow_change
from dsr1.launcher.run.store import Run

PAST = {
    "restart": "restarted",
    "move": "moved",
    "stop": "stopped",
    "start": "started",
    "add": "added",
    "remove": "removed",
    "sleep": "asleep",
    "wake": "awake, and serves",
}


def print_change(run: Run, change: WantedChange) -> None:
    told: tuple[str, int] = ("", 0)

    def show(known: WantedChange) -> None:
        nonlocal told
        if known.phase == "undoing" and told[0] != "undoing":
            print(f"{known.words}; what was done is undone", flush=True)
            told = ("undoing", 0)
        for step in known.steps[told[1] : known.done]:
            print(f"{step.engine}: {PAST[step.what]}", flush=True)
        told = (told[0], known.done)

    follow_change(run, change, show)
