"""How runs stand and how one is stopped, wherever it runs: here, over SSH, or in a job of
Slurm's."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dsr1.hosts.errors import Dsr1Error, HostError, LaunchFailed, RunNotFound
from dsr1.launcher.run.stop import alive_processes, stop_run
from dsr1.launcher.run.store import Run, RunState, find_run
from dsr1.slurm.handle import parse_handle

UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class RunStatus:
    """`alive` are processes by name; on a host that can't tell, its words. `note`: what couldn't be
    asked."""

    state: RunState
    supervised: bool
    alive: tuple[str, ...]
    note: str = ""


def find_any(name: str | None) -> Run:
    """By name or handle, or the newest. RunNotFound; of a handle it says what Slurm knows of that
    job."""
    try:
        return find_run(name)
    except RunNotFound:
        handle = parse_handle(name or "")
        if handle is None:
            raise
    from dsr1.launcher.batch.client import describe_job

    raise RunNotFound(describe_job(handle))


def run_status(run: Run) -> RunStatus:
    """From what really runs. With a job ends its supervisor, and with that all processes: Slurm's
    word is enough."""
    if not run.job():
        supervised, state = _told(run)
        return RunStatus(state, supervised, tuple(alive_processes(run)) if run.is_planned() else ())
    from dsr1.launcher.batch.client import job_states, output_of

    state, note = run.state(), ""
    try:
        state = job_states([run])[run.name]
    except HostError as error:
        note = f"{error}; this is what the run's supervisor wrote last"
    if not note and state.phase == "failed" and (file := output_of(run)):
        note = f"the job's own output: {file}"
    running = not state.ended and state.phase != "queued"
    alive = [process.name for process in run.plan().processes] if state.phase == "ready" else []
    return RunStatus(state, running, tuple(sorted(alive)), note)


def _told(run: Run) -> tuple[bool, RunState]:
    """Whether it is supervised, and its own word; ours of a launch that died before there was
    anything to supervise."""
    supervised = (
        run.supervisor() is not None
    )  # before its word: its end is written down before it ends
    state = run.state()
    if supervised or state.phase != "starting" or run.is_planned() or run.job():
        return supervised, state
    why = f"its launch died before anything was started; `dsr1 stop {run.name}` clears it away"
    return False, replace(state, phase="abandoned", reason=why)


def refuse_unplanned(run: Run) -> None:
    """LaunchFailed for a run that hasn't come so far as to have a plan: it says how it stands."""
    if not run.is_planned():
        state = run_status(run).state
        raise LaunchFailed(
            f"{run.name}: {state.phase}, and has no processes. {state.reason}".rstrip()
        )


def refuse_ended(run: Run) -> None:
    """LaunchFailed for a run that can't answer any more: it says why."""
    state = run_status(run).state if run.job() else run.state()
    if state.ended:
        raise LaunchFailed(
            f"{run.name}: {state.phase}, and no longer serves. {state.reason}".rstrip()
        )


def phases(runs: Sequence[Run]) -> dict[str, str]:
    """By name. Slurm is asked once for all of its runs; where it doesn't answer, what they wrote
    down stands."""
    told = {run.name: _phase(run) for run in runs}
    jobs = [run for run in runs if told[run.name] != UNREADABLE and run.job() and not run.job_end()]
    if not jobs:
        return told
    from dsr1.launcher.batch.client import job_states

    try:
        return told | {name: state.phase for name, state in job_states(jobs).items()}
    except Dsr1Error:
        return told


def _phase(run: Run) -> str:
    try:
        job, (supervised, state) = run.job(), _told(run)
    except LaunchFailed:
        return UNREADABLE
    watched = supervised or state.ended or job or state.phase == "abandoned"
    return state.phase if watched else "unsupervised"


def _is_queued(run: Run) -> bool:
    """A run whose state can't be read is ended as any other."""
    try:
        return run.state().phase == "queued"
    except LaunchFailed:
        return False


def stop_any(run: Run) -> tuple[str, ...]:
    """What is left, in words; else nothing."""
    if run.job() is None and not _is_queued(run):
        return stop_run(run)
    from dsr1.launcher.batch.client import stop_job

    return stop_job(run)
