"""Runs submitted as jobs, and watched until they serve."""

import os
import sys
import time
import types
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from dsr1.hosts.errors import HostError, InputError, LaunchFailed
from dsr1.launcher.batch.jobs import last_lines, output_of
from dsr1.launcher.batch.script import BatchSite, render_job, run_job_name, too_short
from dsr1.launcher.batch.stop import UNSUBMITTED, stop_job
from dsr1.launcher.batch.watch import watch_job
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.run.backend import LaunchRequest
from dsr1.launcher.run.launch import failure, interrupted
from dsr1.launcher.run.record.sources import save_sources
from dsr1.launcher.run.signals import deferred_interrupt
from dsr1.launcher.run.state import OnState, RunState
from dsr1.launcher.run.store import Run, new_run
from dsr1.launcher.run.transport import queue
from dsr1.launcher.state_folder import state_folder
from dsr1.slurm.nodes import partition_allows
from dsr1.slurm.states import LIFTED, JobInfo
from dsr1.slurm.submit import submit, try_only

NO_VARIABLES: Mapping[str, str] = types.MappingProxyType({})

OF_PARTITION = ("PartitionConfig", "PartitionNodeLimit", "PartitionTimeLimit")


def batch_site() -> BatchSite:
    """This dsr1 and this user's state folder; where a checkout runs without being installed its
    path comes along."""
    return BatchSite(sys.executable, str(state_folder()), os.environ.get("PYTHONPATH", ""))


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


def launch_job(request: LaunchRequest, options: Sequence[str], show: OnState) -> Run:
    """Submit a run and, if asked, show every state until it serves. Ctrl-C or failure leaves
    nothing running.

    Raises InputError with sbatch's words, LaunchFailed, or CheckFailed when a host isn't fit.
    """
    run = new_run(request.name)
    try_job(request.recipe, request.name, options)
    try:
        script = _claim(run, request.recipe, options)
        save_sources(run, request.sources)
    except KeyboardInterrupt:
        raise LaunchFailed(f"{run.name}: interrupted; nothing was submitted") from None
    try:
        submit_run(run, script)
        return _until_ready(run, show) if request.wait else run
    except KeyboardInterrupt:
        raise LaunchFailed(f"{run.name}: {interrupted(stop_job(run))}") from None


def try_job(recipe: Recipe, name: str, options: Sequence[str] = ()) -> str:
    """What Slurm says of a run that isn't submitted. Raises as `launch_job` does before it
    submits."""
    script = render_job(recipe, batch_site(), new_run(name).name, options)
    prepare_output(recipe)
    return try_only(script)


def _claim(run: Run, recipe: Recipe, options: Sequence[str]) -> str:
    """Take the name; the script that is this run's and no other's."""
    with ExitStack() as undo:
        with deferred_interrupt():
            run.claim(recipe, "queued")
            undo.callback(run.discard)
        script = render_job(recipe, batch_site(), run.name, options, run.run_id())
        with run.written_whole():
            run.save_script(script)
        undo.pop_all()
    return script


def submit_run(run: Run, script: str, variables: Mapping[str, str] = NO_VARIABLES) -> None:
    """A job that would wait for ever is taken back at once. What is refused leaves no run."""
    try:
        with deferred_interrupt():
            run_id = run.run_id()
            job = submit(script, run_job_name(run.name, run_id), queue(), variables)
            if not run.is_still(run_id):  # stopped meanwhile, and removed
                queue().cancel(job.handle)
                raise LaunchFailed(
                    f"{run.name}: it was removed while job {job.job} was submitted, which is taken"
                    " back"
                )
            if run.job() is None:  # it may have begun, and written that down itself
                run.save_job(job.handle)
        if run.state().reason == UNSUBMITTED:
            queue().cancel(job.handle)
            raise LaunchFailed(
                f"{run.name}: it was stopped while job {job.job} was submitted, which is taken back"
            )
        if why := _no_use(run.recipe(), job):
            queue().cancel(job.handle)
            raise InputError(f"{why}; it was taken back")
    except InputError:
        run.discard()
        raise
    except HostError as error:
        run.save(RunState("queued", time.time(), reason=str(error)))
        raise LaunchFailed(
            f"{run.name}: {error}\n`dsr1 stop {run.name}` looks for its job again, and cancels it"
        ) from None


def _no_use(recipe: Recipe, job: JobInfo) -> str:
    """Why a job that Slurm has taken would never run, or be over at once."""
    if job.hopeless:
        return f"job {job.job} would wait for ever ({job.reason}): {job.hopeless}{_allowed(job)}"
    return too_short(recipe, job)


def _allowed(job: JobInfo | None) -> str:
    """What its partition allows, where it asks for more."""
    words = partition_allows(job.partition) if job and job.reason in OF_PARTITION else ""
    return f": {words}" if words else ""


def _until_ready(run: Run, show: OnState) -> Run:
    """A reason to wait for ever may show only once the scheduler has looked at the job, or change
    into one."""
    last: JobInfo | None = None

    def is_decided(state: RunState, info: JobInfo | None) -> bool:
        nonlocal last
        last = info
        return _is_decided(state, info)

    state = watch_job(run, is_decided, show)
    if state.serves:
        return run
    if state.phase == "queued":
        stop_job(run)
        raise LaunchFailed(f"{run.name}: {state.reason}{_allowed(last)}; it was taken back")
    output = f" and {file}{_quoted_lines(run)}" if (file := output_of(run)) else ""
    raise failure(run, state, output)


def _quoted_lines(run: Run) -> str:
    """What the job itself said last: a `module` that isn't there, say."""
    return "".join(f"\n  | {line}" for line in last_lines(run))


def _is_decided(state: RunState, info: JobInfo | None) -> bool:
    hopeless = info is not None and bool(info.hopeless) and info.reason not in LIFTED
    return state.serves or state.ended or hopeless
