"""What may befall a run in a job: Slurm's controls by hand, its daemons' ends, and its nodes'. Each
fault says in words what it did."""

import signal
import time
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from tests.drill.faults import send

if TYPE_CHECKING:
    from tests.drill.jobs import JobRound

CANCELS = (
    (),
    ("--signal=TERM",),
    ("--signal=KILL",),
    ("--signal=INT",),
    ("--batch", "--signal=TERM"),
    ("--batch", "--signal=KILL"),
    ("--full", "--signal=TERM"),
    ("--full", "--signal=KILL"),
)


def _scancel(round_: "JobRound", rng: Random) -> str:
    options = rng.choice(CANCELS)
    done = round_.site.user("scancel", *options, round_.job)
    return f"scancel {' '.join(options)} ({done.returncode})"


def _scancel_a_step(round_: "JobRound", rng: Random) -> str:
    steps = round_.site.user("squeue", "-h", "-s", "-j", round_.job, "-o", "%i").stdout.split()
    if not steps:
        return "no step to cancel"
    step = rng.choice(sorted(steps))
    return f"scancel {step} ({round_.site.user('scancel', step).returncode})"


def _scontrol(*words: str) -> "Control":
    def control(round_: "JobRound", rng: Random) -> str:
        done = round_.site.root("scontrol", *words, round_.job)
        return f"scontrol {' '.join(words)} ({done.returncode})"

    return control


def _suspend_for_a_while(round_: "JobRound", rng: Random) -> str:
    """For longer than any host may be silent, or not."""
    seconds = rng.choice((1, 4, 12))
    round_.site.root("scontrol", "suspend", round_.job)
    time.sleep(seconds)  # how long it lasts is the fault
    resumed = round_.site.root("scontrol", "resume", round_.job)
    return f"suspended for {seconds} s ({resumed.returncode})"


def _no_controller(round_: "JobRound", rng: Random) -> str:
    seconds = rng.choice((1, 5, 15))
    round_.site.stop_controller()
    time.sleep(seconds)  # as above
    round_.site.start_controller()
    return f"slurmctld down for {seconds} s"


def _node(round_: "JobRound", rng: Random) -> str:
    """One of the run's; empty when none is up."""
    boxes = round_.site.cluster.boxes
    return rng.choice(sorted({one.box for one in round_.there() if boxes[one.box].up}) or [""])


def _kill_slurmd(round_: "JobRound", rng: Random) -> str:
    node = _node(round_, rng)
    if not node:
        return "no node is left to harm"
    if not round_.site.slurmd_runs(node):
        return "it has no slurmd to kill"
    round_.site.kill_slurmd(node)
    return f"slurmd of {node} killed"


def _crash(round_: "JobRound", rng: Random) -> str:
    node = _node(round_, rng)
    if node:
        round_.site.cluster.crash(node)
    return f"{node or 'nothing'} lost its power"


def _signal_one(round_: "JobRound", rng: Random) -> str:
    number = rng.choice((signal.SIGKILL, signal.SIGTERM))
    there = round_.there()
    if not there:
        return "nothing to signal"
    one = rng.choice(there)
    send(one.pid, number)
    return f"{number.name} to {one.marks.process or 'the agent'} on {one.box}"


Control = Callable[["JobRound", Random], str]
CONTROLS: tuple[Control, ...] = (
    _scancel,
    _scancel,
    _scancel_a_step,
    _scontrol("hold"),
    _scontrol("release"),
    _scontrol("requeue"),
    _scontrol("requeuehold"),
    _scontrol("suspend"),
    _suspend_for_a_while,
    _no_controller,
    _kill_slurmd,
    _crash,
    _signal_one,
)
