"""A change's progress, a line for every engine that has it behind it."""

from collections.abc import Sequence
from dataclasses import asdict

from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.lifecycle.changes import WantedChange
from dsr1.launcher.operate.changes import follow_change
from dsr1.launcher.operate.updating import KeyDifference
from dsr1.launcher.run.store import Run

NOTHING = WantedChange("", (), "", "", 0.0, phase="done")  # all is so already
INNER = ("asked_at", "told_at", "undoes", "why")
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


def put_change(run: Run, change: WantedChange, differences: Sequence[KeyDifference] = ()) -> None:
    """As the verb's answer."""
    kept = {name: value for name, value in asdict(change).items() if name not in INNER}
    ANSWER.put("change", {"run": run.name, **kept, "differences": differences})


def print_change(run: Run, change: WantedChange, differences: Sequence[KeyDifference] = ()) -> None:
    told: tuple[str, int] = ("", 0)

    def show(known: WantedChange) -> None:
        nonlocal told
        put_change(run, known, differences)
        if known.phase == "undoing" and told[0] != "undoing":
            print(f"{known.words}; what was done is undone", flush=True)
            told = ("undoing", 0)
        for step in known.steps[told[1] : known.done]:
            print(f"{step.engine}: {PAST[step.what]}", flush=True)
        told = (told[0], known.done)

    follow_change(run, change, show)
