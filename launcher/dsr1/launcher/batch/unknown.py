"""Runs whose jobs Slurm doesn't know by their number and name: somebody has renamed the job, a user
or a site's plugin; the Slurm of this machine is another cluster's, which shares the home; or it has
forgotten a job that is over. Its script tells a job that has another name: nobody changes that."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace

from dsr1.hosts.errors import LaunchFailed
from dsr1.launcher.batch.status import is_new
from dsr1.launcher.run.recovery import find_run_id
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.transport import queue
from dsr1.slurm.client import cluster_name, script_of
from dsr1.slurm.handle import JobHandle
from dsr1.slurm.states import ELSEWHERE, FORGOTTEN, JobInfo
from dsr1.slurm.submit import MOST_READ


def find_unknown(runs: Sequence[Run]) -> dict[str, JobInfo]:
    """By name, by one question to Slurm for all of them. A job that was renamed is written down
    anew. One of which Slurm says that it knows nothing is FORGOTTEN; it isn't among them where that
    may change."""
    named = [(run, job) for run in runs if (job := run.job()) and job.name]
    if not named:  # one without a name is known by its number alone
        return {}
    here = cluster_name()
    away = {run.name: _elsewhere(job) for run, job in named if is_of_another_cluster(job, here)}
    left = [(run, job) for run, job in named if run.name not in away]
    mine = queue().mine() if left else {}
    found = {run.name: _find(run, job, mine.get(job.job), here) for run, job in left}
    return away | {name: info for name, info in found.items() if info is not None}


def _elsewhere(job: JobHandle) -> JobInfo:
    return JobInfo(job.job, ELSEWHERE, cluster=job.cluster, name=job.name)


def _find(run: Run, job: JobHandle, info: JobInfo | None, here: str) -> JobInfo | None:
    """`info`: this user's job of that number."""
    if info is not None and is_own_script(run, script_of(job.job)):
        run.save_job(replace(job, name=info.name))
        return info
    if here and job.cluster not in ("", "cluster") and not _is_new(run):
        return JobInfo(job.job, FORGOTTEN, name=job.name, end=time.time())
    return None


def find_by_script(run: Run) -> JobInfo | None:
    """The newest job of this user's that isn't over and was submitted for the run, whatever it is
    called now."""
    going = {job: info for job, info in queue().mine().items() if not info.over}
    newest_first = sorted(going, key=int, reverse=True)[:MOST_READ]
    found = (job for job in newest_first if is_own_script(run, script_of(job)))
    return next((going[job] for job in found), None)


def is_own_script(run: Run, script: str) -> bool:
    """A script that `launch` has submitted names the run's identity; one that was submitted by hand
    is the very one that the run keeps."""
    run_id, kept = find_run_id(run), run.script().strip()
    return bool(run_id and run_id in script) or bool(kept and kept == script.strip())


def is_of_another_cluster(handle: JobHandle, here: str) -> bool:
    """Where either isn't known there is no reason to doubt it."""
    known = here and handle.cluster not in ("", "cluster")
    return bool(known) and handle.cluster.casefold() != here.casefold()


def _is_new(run: Run) -> bool:
    """A state that can't be read says nothing."""
    with contextlib.suppress(LaunchFailed):
        return is_new(run.state(), time.time())
    return False
