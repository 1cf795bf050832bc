"""The end of a run's job: in order, by its supervisor, or by Slurm."""

import contextlib
import time
from dataclasses import replace

from dsr1.hosts.errors import Dsr1Error, HostError, LaunchFailed, RunNotFound
from dsr1.launcher.batch.jobs import (
    ask_job,
    find_job,
    find_renamed_job,
    job_states,
)
from dsr1.launcher.batch.status import HALTED
from dsr1.launcher.batch.watch import POLL_S, watch_job
from dsr1.launcher.run.recovery import find_run_id
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.transport import queue
from dsr1.slurm.handle import JobHandle
from dsr1.slurm.nodes import silent_nodes
from dsr1.slurm.states import ELSEWHERE, FORGOTTEN, REVOKED, JobInfo

STOP_S, CANCEL_S = 90.0, 120.0
# How long Slurm may call a job running after its run's end: its daemons are busy, or began anew.
OVER_S = 15.0
UNSUBMITTED = "stopped before it was submitted"


def stop_job(run: Run) -> tuple[str, ...]:
    """What may be left, in words. A run without a job is marked so that the process that is about
    to submit one takes it back. What becomes of the run's name meanwhile, by `rm` or `launch
    --replace`, is let be. HostError: Slurm doesn't answer."""
    run_id = find_run_id(run)
    handle = find_job(run) or find_renamed_job(run)
    if handle is None:
        _save_stopped(run, run_id, _own_word(run))
        return ()
    if not _end_job(run, run_id, handle):
        return _own_word(run).left
    over = _wait_over(run, run_id, handle, CANCEL_S)
    again = run.job() if run.is_still(run_id) else None
    if again and again.job != handle.job:  # its time was just over, and it was submitted again
        return stop_job(run)
    if not over:
        left = _own_word(run).left if again else ()
        return (*left, f"job {handle.job} is not over yet, see squeue")
    return _save_stopped(run, run_id, _proven(_concluded(run))).left if again else ()


def _proven(state: RunState) -> RunState:
    """Before a job is over Slurm ends its steps on every node that answers it: what the supervisor
    couldn't prove of these any more, since its own steps were ended with it, is proven by that."""
    hosts = dict.fromkeys(one.partition(": ")[0] for one in state.left)
    silent = silent_nodes(tuple(hosts)) if hosts else None
    if silent is None:
        return state
    return replace(state, left=tuple(one for one in state.left if one.partition(": ")[0] in silent))


def _own_word(run: Run) -> RunState:
    """What a newer dsr1 has written can't be read: then it is as if it had been stopped."""
    try:
        return run.state()
    except LaunchFailed:
        return RunState("stopped", time.time(), reason="stopped by an older dsr1")


def _concluded(run: Run) -> RunState:
    try:
        return job_states([run])[run.name]
    except HostError:
        raise
    except LaunchFailed:
        return _own_word(run)


def _save_stopped(run: Run, run_id: str, state: RunState) -> RunState:
    if not state.ended:
        state = RunState("stopped", time.time(), reason=UNSUBMITTED)
    with contextlib.suppress(RunNotFound, FileNotFoundError), run.locked():
        if run.is_still(run_id):
            run.save(state)
    return state


def _end_job(run: Run, run_id: str, handle: JobHandle) -> bool:
    """By its supervisor; if there is none yet, or that takes too long, by Slurm. False: Slurm
    doesn't answer, and the supervisor has ended all. HostError: it hasn't, either."""
    try:
        info = ask_job(run, handle, fresh=True)
        _refuse_elsewhere(info)
    except Dsr1Error:  # without its slurmctld a site may have no configuration, either
        if _ask_by_file(run):
            return False
        raise
    if info is None or info.over or info.state == FORGOTTEN:
        return True
    silent = info.waits or info.state in HALTED
    if not silent:
        _ask_supervisor(run, run_id, info.handle)
    if silent or not _wait_over(run, run_id, handle, OVER_S):
        _cancel(run, run_id, handle)
    return True


def _cancel(run: Run, run_id: str, handle: JobHandle) -> None:
    """By the name that it has just then: it may have been renamed meanwhile."""
    info = _now(run, run_id, handle)
    if info is not None:
        queue().cancel(info.handle)


def _now(run: Run, run_id: str, handle: JobHandle) -> JobInfo | None:
    """Where the run's folder is there no more, or another's, or it has another job by now, the job
    is known by its name alone. None: it is over, as far as Slurm tells."""
    again = run.job() if run.is_still(run_id) else None
    own = again is not None and again.job == handle.job
    info = ask_job(run, handle) if own else queue().look_up([handle]).get(handle.job)
    return None if info is None or info.over or info.state == FORGOTTEN else info


def _refuse_elsewhere(info: JobInfo | None) -> None:
    if info is not None and info.state == REVOKED:
        raise HostError(
            f"job {info.job} was begun by another cluster of the federation: stop it from a login"
            " node of that one"
        )
    if info is not None and info.state == ELSEWHERE:
        raise HostError(
            f"job {info.job} is of the cluster {info.cluster}, which the Slurm of this machine is"
            " not: stop it from a login node of that one"
        )


def _ask_by_file(run: Run) -> bool:
    """Whether a supervisor that lives has heard of it, and said that it has ended."""
    with contextlib.suppress(LaunchFailed):  # of a newer dsr1 it can't be told whether it has
        if run.state().phase == "queued":
            return False
        run.ask_to_stop()
        deadline = time.monotonic() + STOP_S
        while not run.state().ended and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return run.state().ended
    return False


def _ask_supervisor(run: Run, run_id: str, handle: JobHandle) -> None:
    """A job whose batch step isn't there yet, or already gone, has none to ask."""
    with contextlib.suppress(HostError, LaunchFailed):  # its state may be a newer dsr1's
        queue().cancel(handle, "--batch", "--signal=INT")
        watch_job(
            run, lambda state, _: state.ended or not run.is_still(run_id), lambda _: None, STOP_S
        )


def _wait_over(run: Run, run_id: str, handle: JobHandle, seconds: float) -> bool:
    """A slurmctld that doesn't answer for a while is asked again."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(HostError):
            if _now(run, run_id, handle) is None:
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S * 5)
