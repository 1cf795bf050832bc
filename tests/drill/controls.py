"""What may befall a run in a job: Slurm's controls by hand, its daemons' ends, and its nodes'. Each
fault says in words what it did."""

import signal
import time
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from tests.drill.broken import Broken
from tests.drill.faults import send
from tests.drill.verbs import Operation, finish, kill_a_launch, kill_a_verb, stop_beside
from tests.waiting import until

if TYPE_CHECKING:
    from tests.drill.jobs import JobRound

ITS_NODE = "node4"  # that of another job, which nothing of this is to touch
CANCELS = (
    (),
    ("--signal=TERM",),
    ("--signal=KILL",),
    ("--signal=INT",),
    ("--batch", "--signal=TERM"),
    ("--batch", "--signal=KILL"),
    ("--full", "--signal=TERM"),
    ("--full", "--signal=KILL"),
    ("--batch",),
    ("--signal=USR1",),
    ("--signal=STOP",),
    ("--batch", "--signal=USR2"),
    ("--batch", "--signal=STOP"),
    ("--full", "--signal=STOP"),
    ("--full", "--signal=CONT"),
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


def _change(round_: "JobRound", rng: Random) -> str:
    """By hand, or by a site's plugin."""
    change = rng.choice(
        ("JobName=mine", "JobName=dsr1-r1", "Comment=of a site", "TimeLimit=3", "TimeLimit=90")
    )
    changed = round_.site.root("scontrol", "update", f"JobId={round_.job}", change)
    return f"{change} ({changed.returncode})"


def _node_state(round_: "JobRound", rng: Random) -> str:
    """It is taken back by the end of the round, or at once."""
    node, state = _node(round_, rng), rng.choice(("DRAIN", "DOWN", "FAIL"))
    if not node:
        return "no node is left to drain"
    update = ("scontrol", "update", f"NodeName={node}")
    codes = [round_.site.root(*update, f"State={state}", "Reason=drill").returncode]
    if rng.random() < 0.5:
        codes.append(round_.site.root(*update, "State=RESUME").returncode)
    return f"{node} set {state}{' and RESUME' if len(codes) > 1 else ''} ({codes})"


def _preempt(round_: "JobRound", rng: Random) -> str:
    """By a job of another partition, which is gone soon."""
    site, mode = round_.site, rng.choice(("CANCEL", "REQUEUE"))
    site.root("scontrol", "update", "PartitionName=gpu", f"PreemptMode={mode}")
    urgent = ("sbatch", "-p", "urgent", "-N2", "--exclusive", "--parsable", "-t", "1")
    job = site.user(*urgent, "-x", ITS_NODE, "--wrap", "sleep 3").stdout.strip()
    until(lambda: site.state(job) not in ("PENDING", "CONFIGURING", "RUNNING"), "it is over")
    return f"preempted with {mode}"


def _operate(act: Operation) -> "Control":
    def control(round_: "JobRound", rng: Random) -> str:
        return act(round_.operated(), rng)

    return control


def _kill_a_launch(round_: "JobRound", rng: Random) -> str:
    said = kill_a_launch(round_.operated(), rng)
    jobs = round_.site.user("squeue", "-h", "-o", "%A %T %j").stdout.splitlines()
    if left := [job for job in jobs if f"-{round_.name}-killed-" in job]:
        raise Broken(f"{said}: after stop there is {left}")
    return said


def _stop_with_hung_processes(round_: "JobRound", rng: Random) -> str:
    """Agents or workers are suspended before it or meanwhile."""
    words, after_s = ("stop", round_.name), rng.choice((0.0, rng.uniform(0, 2)))
    there = round_.there()
    begun = round_.login.begin(*words)
    time.sleep(after_s)  # as above
    for one in (hung := rng.sample(there, rng.randint(0, len(there)))):
        send(one.pid, signal.SIGSTOP)
    return f"stop ({finish(begun, words)}), after {after_s:.1f} s SIGSTOP to {len(hung)} processes"


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
    _change,
    _change,
    _node_state,
    _preempt,
    _stop_with_hung_processes,
    _operate(stop_beside),
    _operate(kill_a_verb),
    _kill_a_launch,
)
