"""A run's job as Slurm knows it: looked up by number, name and user, never by number alone."""

import contextlib
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from dsr1.hosts.errors import HostError, LaunchFailed
from dsr1.launcher.batch.script import run_job_name
from dsr1.launcher.batch.status import conclude, waiting_for
from dsr1.launcher.batch.unknown import find_unknown
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.transport import queue
from dsr1.launcher.state_folder import state_folder
from dsr1.slurm.client import look_up_anyones, own_user
from dsr1.slurm.handle import JobHandle
from dsr1.slurm.states import JobInfo

LAST_BYTES, LAST_LINES = 8192, 5  # of a job's own output, in a message


def describe_job(handle: JobHandle) -> str:
    """A job that is no run here."""
    info = look_up_anyones(handle.job)
    if info is None:
        return f"{handle}: no run of yours, and Slurm knows nothing of job {handle.job} (any more)"
    if info.cluster and info.cluster != handle.cluster:
        return f"{handle}: no run of yours, and Slurm here is of the cluster {info.cluster}"
    ours = info.user in ("", own_user())
    if info.waits and ours:
        return f"{waiting_for(info)}; a run of the rendered script appears once it starts"
    whose = "" if ours else f" of {info.user}"
    return (
        f"{handle}: job {handle.job}{whose} ({info.state}) is no run that is kept in"
        f" {state_folder()}"
    )


def find_job(run: Run) -> JobHandle | None:
    """The run's job, which is written down where it isn't yet: sbatch may have submitted it and
    not have said so. None: there is none. HostError: Slurm doesn't answer."""
    recorded = run.job()
    if recorded is not None:
        return recorded
    jobs = queue().named(run_job_name(run.name, run.run_id()))
    if not jobs:
        return None
    newest = jobs[max(jobs, key=int)].handle
    run.save_job(newest)
    return newest


def recorded_job(run: Run) -> JobHandle:
    handle = run.job()
    assert handle is not None
    return handle


def ask_job(run: Run, known: JobInfo | None, fresh: bool = False) -> JobInfo | None:
    """While slurmctld is down it is what is `known`: the job goes on without it."""
    handle = recorded_job(run)
    try:
        return (
            run.job_end()
            or queue().look_up([handle], fresh).get(handle.job)
            or find_unknown(run, handle)
        )
    except HostError:
        return known


def job_states(runs: Iterable[Run]) -> dict[str, RunState]:
    """By name: how runs are that have a job, by one question to Slurm for all of them. How a job
    has ended is kept with its run."""
    by_name = {run.name: run for run in runs}
    infos = known_jobs(by_name.values())
    return {name: state_of_job(run, infos.get(name)) for name, run in by_name.items()}


def known_jobs(runs: Iterable[Run]) -> dict[str, JobInfo]:
    """By run, of those that have a job; what Slurm knows no more is not among them."""
    asked = list(runs)
    infos = _ended_jobs(asked)
    return infos | _current_jobs([run for run in asked if run.name not in infos])


def state_of_job(run: Run, info: JobInfo | None) -> RunState:
    """By the word of its supervisor, of Slurm, and, where there is no other, of the job itself."""
    state = run.state()
    silent = info is not None and info.over and not state.ended
    said = " | ".join(last_lines(run)) if silent else ""
    return conclude(state, recorded_job(run).job, info, time.time(), said)


def _ended_jobs(runs: Iterable[Run]) -> dict[str, JobInfo]:
    """By run, of those that have kept it."""
    ends = {run.name: run.job_end() for run in runs}
    return {name: end for name, end in ends.items() if end is not None}


def _current_jobs(runs: list[Run]) -> dict[str, JobInfo]:
    """By run. An answer from before a supervisor's end doesn't say how its job ended: that is asked
    for again."""
    handles = {run.name: recorded_job(run) for run in runs}
    found = queue().look_up(handles.values())
    ended = [handles[run.name] for run in runs if run.state().ended]
    found |= queue().look_up([handle for handle in ended if _goes_on(found, handle)], fresh=True)
    infos = {}
    for run in runs:
        handle = handles[run.name]
        info = found.get(handle.job) or find_unknown(run, handle)
        if info is not None:
            infos[run.name] = info
            _keep_end(run, info)
    return infos


def _goes_on(found: Mapping[str, JobInfo], handle: JobHandle) -> bool:
    return handle.job in found and not found[handle.job].over


def _keep_end(run: Run, info: JobInfo) -> None:
    if info.over:
        run.save_job_end(info)


def output_of(run: Run) -> Path | None:
    """The job's own output."""
    job = run.job()
    if job is None:
        return None
    asked = run.recipe().slurm.output
    if asked is None:
        return next(iter((state_folder() / "jobs").glob(f"*-{job.job}.out")), None)
    path = Path(asked.replace("%j", job.job).replace("%x", job.name))
    return path if path.is_file() else None


def last_lines(run: Run) -> list[str]:
    """Of the job's own output: a `module` that isn't there, say."""
    with contextlib.suppress(OSError, LaunchFailed):
        file = output_of(run)
        if file is not None:
            with file.open("rb") as opened:
                opened.seek(max(0, file.stat().st_size - LAST_BYTES))
                return opened.read().decode(errors="replace").strip().splitlines()[-LAST_LINES:]
    return []
