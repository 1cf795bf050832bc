"""Runs in jobs of Slurm's, seen from the login node: submitted, watched and stopped."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import psutil

from dsr1.hosts.errors import CheckFailed, HostError, InputError, LaunchFailed
from dsr1.launcher.batch.script import BatchSite, render_job
from dsr1.launcher.batch.status import conclude, waiting_for
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.run.signals import deferred_interrupt
from dsr1.launcher.run.store import OnState, Run, RunState, new_run
from dsr1.launcher.state_folder import state_folder
from dsr1.slurm.client import Queue, look_up_anyones
from dsr1.slurm.handle import JobHandle
from dsr1.slurm.states import LIFTED, JobInfo
from dsr1.slurm.submit import submit, try_only

POLL_S, ASK_S, STOP_S, CANCEL_S = 0.1, 2.0, 90.0, 120.0
UNKNOWN, UNSUBMITTED = "cluster", "stopped before it was submitted"
IsDone = Callable[[RunState, JobInfo | None], bool]


def batch_site() -> BatchSite:
    """This dsr1 and this user's state folder; where a checkout runs without being installed its
    path comes along."""
    return BatchSite(sys.executable, str(state_folder()), os.environ.get("PYTHONPATH", ""))


def queue() -> Queue:
    """Shared by all dsr1 of this user."""
    state_folder().mkdir(parents=True, exist_ok=True, mode=0o700)
    return Queue(state_folder() / "squeue.json")


def describe_job(handle: JobHandle) -> str:
    """A job that is no run here."""
    info = look_up_anyones(handle.job)
    if info is None:
        return f"{handle}: no run of yours, and Slurm knows nothing of job {handle.job} (any more)"
    if info.cluster and info.cluster != handle.cluster:
        return f"{handle}: no run of yours, and Slurm here is of the cluster {info.cluster}"
    ours = info.user in ("", psutil.Process().username())
    if info.waits and ours:
        return f"{waiting_for(info)}; a run of the rendered script appears once it starts"
    whose = "" if ours else f" of {info.user}"
    return (
        f"{handle}: job {handle.job}{whose} ({info.state}) is no run that is kept in"
        f" {state_folder()}"
    )


def prepare_output(recipe: Recipe) -> None:
    """Without its folder a job fails and says nothing, since it has nowhere to say it. InputError,
    LaunchFailed."""
    own = state_folder() / "jobs"
    folder = Path(recipe.slurm.output).parent if recipe.slurm.output else own
    try:
        own.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LaunchFailed(
            f"{own}: can't be made: {error.strerror}; set DSR1_STATE_DIR to a shared folder"
        ) from None
    if "%" not in str(folder) and not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise InputError(
            f"slurm.output: {folder} is no folder that can be written to: the job would end without"
            " a word"
        )


def launch_job(recipe: Recipe, name: str, options: Sequence[str], show: OnState, wait: bool) -> Run:
    """Submit a run and, if asked, show every state until it serves. Ctrl-C or failure leaves
    nothing running.

    Raises InputError with sbatch's words, LaunchFailed, or CheckFailed when a host isn't fit.
    """
    run, script = _prepare(recipe, name, options)
    try_only(script)
    run.claim(recipe, "queued")
    try:
        _submit(run, script)
        return _until_ready(run, show) if wait else run
    except KeyboardInterrupt:
        stop_job(run)
        raise LaunchFailed(
            f"{run.name}: interrupted; everything that had been started is gone"
        ) from None


def try_job(recipe: Recipe, name: str) -> str:
    """What Slurm says of a run that isn't submitted. Raises as `launch_job` does before it
    submits."""
    _, script = _prepare(recipe, name, ())
    return try_only(script)


def _prepare(recipe: Recipe, name: str, options: Sequence[str]) -> tuple[Run, str]:
    run, script = new_run(name), render_job(recipe, batch_site(), name, options)
    prepare_output(recipe)
    return run, script


def _submit(run: Run, script: str) -> None:
    """A job that would wait for ever is taken back at once. What is refused leaves no run."""
    try:
        with deferred_interrupt():
            job = submit(script, run.folder / "submitted")
            if run.job() is None:  # it may have begun, and said so itself
                run.save_job(JobHandle(UNKNOWN, job))
        info = _ask(run, None, fresh=True)
        if run.state().reason == UNSUBMITTED:
            queue().cancel(job)
            raise LaunchFailed(
                f"{run.name}: it was stopped while job {job} was submitted, which is taken back"
            )
        if info and info.hopeless:
            queue().cancel(job)
            raise InputError(f"job {job} would wait for ever ({info.reason}): {info.hopeless}")
    except InputError:
        run.discard()
        raise
    if info and info.cluster and _job(run).cluster == UNKNOWN:
        run.save_job(JobHandle(info.cluster, job))


def _until_ready(run: Run, show: OnState) -> Run:
    """A reason to wait for ever may show only once the scheduler has looked at the job, or change
    into one."""
    state = _watch(run, _is_decided, show)
    if state.phase == "ready":
        return run
    if state.phase == "queued":
        stop_job(run)
        raise LaunchFailed(f"{run.name}: {state.reason}; it was taken back")
    kind = CheckFailed if state.exit_code == 3 else LaunchFailed
    left = f"\nMAY STILL RUN: {'; '.join(state.left)}" if state.left else ""
    output = f" and {file}" if (file := output_of(run)) else ""
    raise kind(f"{run.name}: {state.reason}{left}\nlogs: {run.folder}/hosts/*/logs{output}")


def _is_decided(state: RunState, info: JobInfo | None) -> bool:
    hopeless = info is not None and bool(info.hopeless) and info.reason not in LIFTED
    return state.phase in ("ready", "stopped", "failed") or hopeless


def _watch(run: Run, done: IsDone, show: OnState, seconds: float | None = None) -> RunState:
    """What the supervisor writes is read often; Slurm is asked every few seconds."""
    deadline = None if seconds is None else time.monotonic() + seconds
    ask_at, known = 0.0, None
    while True:
        if time.monotonic() >= ask_at:
            known, ask_at = _ask(run, known), time.monotonic() + ASK_S
        state = conclude(run.state(), _job(run).job, known, time.time())
        show(state)
        if done(state, known) or (deadline is not None and time.monotonic() > deadline):
            return state
        time.sleep(POLL_S)


def _ask(run: Run, known: JobInfo | None, fresh: bool = False) -> JobInfo | None:
    """What is `known` stands while slurmctld is down: the job goes on without it."""
    job = _job(run).job
    try:
        return run.job_end() or queue().look_up([job], fresh).get(job)
    except HostError:
        return known


def _job(run: Run) -> JobHandle:
    handle = run.job()
    assert handle is not None
    return handle


def job_states(runs: Iterable[Run]) -> dict[str, RunState]:
    """By name: how runs in jobs stand, by one question to Slurm for all of them. What has ended is
    kept with them."""
    jobs = {run.name: (run, _job(run).job, run.job_end()) for run in runs}
    asked = dict(queue().look_up([job for _, job, end in jobs.values() if end is None]))
    stale = [
        job
        for run, job, _ in jobs.values()
        if job in asked and not asked[job].over and run.state().ended
    ]
    asked |= queue().look_up(
        stale, fresh=True
    )  # told before the supervisor's end: how the job ended isn't in it
    for run, job, end in jobs.values():
        if end is None and job in asked and asked[job].over:
            run.save_job_end(asked[job])
    return {
        name: conclude(run.state(), job, end or asked.get(job), time.time())
        for name, (run, job, end) in jobs.items()
    }


def output_of(run: Run) -> Path | None:
    """The job's own output, where the recipe names no other place for it."""
    job = run.job()
    return next(iter((state_folder() / "jobs").glob(f"*-{job.job}.out")), None) if job else None


def stop_job(run: Run) -> tuple[str, ...]:
    """End a run's job: in order, by its supervisor, or if that takes too long by Slurm. What may be
    left, in words."""
    job = _job(run).job if run.job() else ""
    info = queue().look_up([job], fresh=True).get(job) if job else None
    if info and not info.over:
        if info.waits:
            queue().cancel(job)
        else:
            _ask_supervisor(run, job)
        if not _wait_over(job, ASK_S * 2):
            queue().cancel(job)
    over = not job or _wait_over(job, CANCEL_S)
    if job and _job(run).job != job:  # its time was just over, and it was submitted again
        return stop_job(run)
    state = job_states([run])[run.name] if job else run.state()
    if not state.ended:
        state = RunState("stopped", time.time(), reason=UNSUBMITTED)
    run.save(state)
    return state.left if over else (*state.left, f"job {job} is not over yet, see squeue")


def _ask_supervisor(run: Run, job: str) -> None:
    """A job whose batch step isn't there yet, or already gone, has none to ask."""
    with contextlib.suppress(HostError):
        queue().cancel(job, "--batch", "--signal=INT")
        _watch(run, lambda state, _: state.ended, lambda _: None, STOP_S)


def _wait_over(job: str, seconds: float) -> bool:
    """A slurmctld that doesn't answer for a while is asked again."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(HostError):
            info = queue().look_up([job]).get(job)
            if info is None or info.over:
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S * 5)
