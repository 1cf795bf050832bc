"""How a run in a job stands: what its supervisor wrote down, and what Slurm knows that a supervisor can't. Pure."""

import datetime
from dataclasses import replace

from dsr1.launcher.runs import State
from dsr1.slurm.states import HOPELESS, JobInfo

# What a supervisor may take for a request to stop, since Slurm ends its agents as one does.
FAULTS = ("NODE_FAIL", "BOOT_FAIL", "OUT_OF_MEMORY", "DEADLINE")
FRESH_S = 60.0


def conclude(state: State, job: str, info: JobInfo | None, now: float) -> State:
    """`info` None: Slurm knows nothing of the job, or not yet."""
    if state.ended:
        return _ended(state, info)
    if info is None:
        return state if state.phase == "queued" and now - state.since < FRESH_S else _forgotten(state, job, now)
    if info.waits:
        return State("queued", state.since, reason=waiting_for(info))
    if info.over:
        return _unwitnessed(state, info, now)
    return replace(state, phase="starting") if state.phase == "queued" else state


def waiting_for(info: JobInfo) -> str:
    """The reason, when it is expected to start, and whether it ever can."""
    hopeless = f", and for ever: {HOPELESS[info.reason]}" if info.reason in HOPELESS else ""
    when = f"; expected to start {_clock(info.start)}" if info.start and not hopeless else ""
    why = f" ({info.reason})" if info.reason else ""
    return f"job {info.job} waits{why}{hopeless}{when}"


def _clock(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def _ended(state: State, info: JobInfo | None) -> State:
    """A supervisor that was told to end can't know why."""
    if info is None or state.phase != "stopped" or not info.over:
        return state
    if info.state in FAULTS:
        return replace(state, phase="failed", reason=_words(info), exit_code=4)
    told = "" if info.state in ("COMPLETED", "FAILED") else f" [{_words(info)}]"
    return replace(state, reason=state.reason + told)


def _unwitnessed(state: State, info: JobInfo, now: float) -> State:
    """Its supervisor didn't live to tell: Slurm's word and the batch step's real exit code stand."""
    if info.state == "CANCELLED":
        return State("stopped", now, reason=f"{_words(info)} while {state.phase}", ranks=state.ranks)
    code = info.code or (128 + info.signal if info.signal else 4)
    reason = f"{_words(info)} while {state.phase}; its supervisor left no word"
    return State("failed", now, reason=reason, exit_code=code, ranks=state.ranks)


def _words(info: JobInfo) -> str:
    why = f" ({info.reason})" if info.reason and info.reason.upper() != info.state else ""
    by = f", by signal {info.signal}" if info.signal else ""
    return f"job {info.job} ended as {info.state}{why}, exit code {info.code}{by}"


def _forgotten(state: State, job: str, now: float) -> State:
    reason = f"Slurm knows nothing of job {job} any more; when last heard of the run was {state.phase}"
    return State("failed", now, reason=reason, exit_code=4, ranks=state.ranks)
