"""A run's job as Slurm knows it: looked up by number, name and user, never by number alone."""

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dsr1.hosts.errors import Dsr1Error, LaunchFailed
from dsr1.launcher.batch.script import run_job_name
from dsr1.launcher.batch.status import conclude, is_from_before, waiting_for
from dsr1.launcher.batch.unknown import find_by_script, find_unknown
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.transport import queue
from dsr1.launcher.state_folder import state_folder
from dsr1.slurm.client import look_up_anyones, own_user
from dsr1.slurm.handle import JobHandle
from dsr1.slurm.states import FORGOTTEN, JobInfo

REMEMBERED_S = 86400.0  # MinJobAge is minutes by default, and hours where it is long
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
    return _write_down(run, jobs[max(jobs, key=int)]) if jobs else None


def find_renamed_job(run: Run) -> JobHandle | None:
    """Of a run whose job nobody wrote down, where it has another name: a site's plugin may give it
    one. None, HostError: as above."""
    info = find_by_script(run)
    return _write_down(run, info) if info else None


def _write_down(run: Run, info: JobInfo) -> JobHandle:
    run.save_job(info.handle)
    return info.handle


def recorded_job(run: Run) -> JobHandle:
    """LaunchFailed: it is gone, as with the run's folder."""
    handle = run.job()
    if handle is None:
        raise LaunchFailed(f"{run.folder}: its job isn't written down there (any more)")
    return handle


def ask_job(run: Run, handle: JobHandle, fresh: bool = False) -> JobInfo | None:
    """Also one that was renamed. `fresh`: by no answer from before now. None: it is over, as far as
    Slurm tells."""
    found = queue().look_up([handle], fresh).get(handle.job)
    return found or find_unknown([run]).get(run.name)


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
    for name in _come_back([run for run in asked if run.name in infos], infos):
        del infos[name]
    return infos | _current_jobs([run for run in asked if run.name not in infos])


def _come_back(runs: Sequence[Run], ends: Mapping[str, JobInfo]) -> list[str]:
    """Those whose jobs were over, and aren't any more: `scontrol requeue` takes such jobs, too, for
    as long as slurmctld remembers them. A Slurm that doesn't answer says nothing else."""
    asked = {
        run.name: recorded_job(run) for run in runs if may_come_back(ends[run.name], time.time())
    }
    listed: Mapping[str, JobInfo] = {}
    if asked:
        with contextlib.suppress(Dsr1Error):
            listed = queue().listed(asked.values())
    back = [run for run in runs if run.name in asked and _goes_on(listed, asked[run.name])]
    for run in back:
        run.forget_job_end()
    return [run.name for run in back]


def may_come_back(end: JobInfo, now: float) -> bool:
    lately = end.end is None or now - end.end < REMEMBERED_S
    return lately and (end.may_requeue or end.state == FORGOTTEN)


def state_of_job(run: Run, info: JobInfo | None) -> RunState:
    """By the word of its supervisor, of Slurm, and, where there is no other, of the job itself."""
    state = run.state()
    silent = info is not None and info.over and not state.ended
    said = " | ".join(last_lines(run)) if silent else ""
    if info is not None and is_from_before(state, info, run.restarts()):
        state = RunState("queued", info.start or state.since)
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
    infos = {name: found[handle.job] for name, handle in handles.items() if handle.job in found}
    infos |= find_unknown([run for run in runs if run.name not in infos])
    for run in runs:
        if run.name in infos and (infos[run.name].over or infos[run.name].state == FORGOTTEN):
            run.save_job_end(infos[run.name])
    return infos


def _goes_on(found: Mapping[str, JobInfo], handle: JobHandle) -> bool:
    return handle.job in found and not found[handle.job].over


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
