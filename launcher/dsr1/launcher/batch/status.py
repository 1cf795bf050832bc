"""How a run in a job is: what its supervisor wrote down, and what Slurm knows that a supervisor
can't. Pure."""

import datetime
from dataclasses import replace

from dsr1.launcher.run.state import RunState
from dsr1.slurm.lent import HAS_ENDED
from dsr1.slurm.states import FORGOTTEN, JobInfo

FAULTS = ("NODE_FAIL", "BOOT_FAIL", "OUT_OF_MEMORY", "DEADLINE", "TIMEOUT")
SUSPENDED, STOPPED = "SUSPENDED", "STOPPED"
HALTED = (SUSPENDED, STOPPED)
ENDED_BY_SLURM = ("CANCELLED", "PREEMPTED")
FRESH_S, AT_ONCE_S = 60.0, 5.0
SHARED = "is the folder of runs (DSR1_STATE_DIR) on a file system that its nodes share?"


def is_from_before(state: RunState, info: JobInfo, entered: int) -> bool:
    """Whether the run's word is of its job's life before a requeue: it has begun anew, and hasn't
    said so. `entered`: how often it had been requeued when it last did."""
    if info.waits:
        return False
    if info.restarts is not None:
        return info.restarts > entered
    return not info.over and info.start is not None and info.start > state.since


def is_new(state: RunState, now: float) -> bool:
    """Slurm may not know its job yet."""
    return state.phase == "queued" and now - state.since < FRESH_S


def conclude(
    state: RunState, job: str, info: JobInfo | None, now: float, said: str = ""
) -> RunState:
    """`info` None: Slurm knows nothing of the job, or not yet. `said`: the job's own last words, of
    one that has ended."""
    if (
        info is not None and info.waits
    ):  # for the first time, or again: after a requeue the run goes on
        return RunState("queued", state.since, reason=waiting_for(info))
    if info is not None and info.is_elsewhere:
        return state
    if state.ended and info is not None and info.state == "COMPLETING" and info.may_requeue:
        return replace(state, phase="stopping")  # Slurm may be about to requeue it
    if state.ended:
        return _ended(state, info)
    if info is None or info.state == FORGOTTEN:
        fresh = info is None and is_new(state, now)
        return state if fresh else _forgotten(state, job, info.end if info and info.end else now)
    if info.over:
        return _unwitnessed(state, info, now, said)
    if state.phase == "queued":
        return _begun(state, info, now)
    return _halted(state, info) if info.state in HALTED else state


def _halted(state: RunState, info: JobInfo) -> RunState:
    """Its processes don't run. Those of a suspended job are there; of one that was stopped by a
    signal, which may have reached some alone, that can't be told."""
    words = (
        f"; `scontrol resume {info.job}` lets it go on"
        if info.state == SUSPENDED
        else f" by a signal; `scancel --full --signal=CONT {info.job}` lets it go on, if it lives"
    )
    return replace(state, phase="suspended", reason=f"job {info.job} is {info.state}{words}")


def _begun(state: RunState, info: JobInfo, now: float) -> RunState:
    """A supervisor's first deed is to say so."""
    silent = info.start is not None and now - info.start > FRESH_S
    return replace(
        state,
        phase="starting",
        reason=f"job {info.job} runs, and nothing is heard of it: {SHARED}" if silent else "",
    )


def waiting_for(info: JobInfo) -> str:
    """The reason, when it is expected to start, and whether it ever can."""
    hopeless = f", and for ever: {info.hopeless}" if info.hopeless else ""
    when = f"; expected to start {clock_text(info.start)}" if info.start and not hopeless else ""
    why = f" ({info.reason})" if info.reason else ""
    return f"job {info.job} waits{why}{hopeless}{when}"


def clock_text(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def _ended(state: RunState, info: JobInfo | None) -> RunState:
    """A supervisor sees its processes end, or is told to end them; why, and who began, Slurm
    knows."""
    if info is None or state.reason.startswith(_ended_as(info)):  # Slurm's word is in it already
        return state
    if info.state not in (*FAULTS, *ENDED_BY_SLURM) and not info.preempted:
        return state
    phase, code = ("failed", 4) if info.state in FAULTS else ("stopped", 0)
    return replace(
        state, phase=phase, exit_code=code, reason=f"{_words(info)}; its supervisor: {state.reason}"
    )


def _unwitnessed(state: RunState, info: JobInfo, now: float, said: str) -> RunState:
    """Its supervisor couldn't save its end: it is Slurm's, with the batch step's real exit code."""
    if info.state in ENDED_BY_SLURM:
        waited = state.phase == "queued"
        when = f"{_ended_as(info)}{info.state} before it began"
        reason = when if waited else f"{_words(info)} while {state.phase}"
        return RunState("stopped", now, reason=reason, ranks=state.ranks)
    code = info.code or (128 + info.signal if info.signal else 4)
    reason = f"{_words(info)} while {state.phase}; its supervisor left no word"
    reason += _last_words(state, said)
    return RunState("failed", now, reason=reason, exit_code=code, ranks=state.ranks)


def _last_words(state: RunState, said: str) -> str:
    """A job that could say something wasn't kept from it by a folder that isn't shared."""
    if said:
        return f"; the job said last: {said}"
    if state.reason:
        return f"; before that: {state.reason}"
    return f"; {SHARED}" if state.phase == "queued" else ""


def conclude_lent(state: RunState, info: JobInfo | None, now: float) -> RunState:
    """Of a run in an allocation of its user's, whose end isn't the run's failure."""
    if info is None or not info.over or state.phase == "stopped" or _was_before(state, info):
        return _halted(state, info) if info and info.state in HALTED else state
    reason = f"{HAS_ENDED.format(job=info.job)} ({info.state})"
    since = state.since if state.ended else info.end or now
    return RunState("stopped", since, reason=reason, ranks=state.ranks)


def _was_before(state: RunState, info: JobInfo) -> bool:
    """Whether it had failed already, and not by that."""
    return state.ended and (info.end is None or state.since < info.end - AT_ONCE_S)


def _words(info: JobInfo) -> str:
    why = f" ({info.reason})" if info.reason and info.reason.upper() != info.state else ""
    by = f", by signal {info.signal}" if info.signal else ""
    state = "PREEMPTED" if info.preempted else info.state
    return f"{_ended_as(info)}{state}{why}, exit code {info.code}{by}"


def _ended_as(info: JobInfo) -> str:
    return f"job {info.job} ended as "


def _forgotten(state: RunState, job: str, now: float) -> RunState:
    reason = (
        f"Slurm knows nothing of job {job} any more; when last heard of the run was {state.phase}"
    )
    return RunState("failed", now, reason=reason, exit_code=4, ranks=state.ranks)
