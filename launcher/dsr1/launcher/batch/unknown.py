"""A run's job that Slurm doesn't know by its number and name, and that lives for all that: somebody
has renamed it, or the Slurm of this machine is another cluster's, which shares the home."""

import contextlib
from dataclasses import replace

from dsr1.launcher.run.folder import ALLOCATION
from dsr1.launcher.run.recovery import is_over
from dsr1.launcher.run.store import Run
from dsr1.slurm.client import cluster_name, look_up_anyones, own_user
from dsr1.slurm.handle import JobHandle
from dsr1.slurm.states import ELSEWHERE, JobInfo

CLOCKS_S = 60.0  # what a node's clock may be behind the controller's


def find_unknown(run: Run, handle: JobHandle) -> JobInfo | None:
    """None: as far as Slurm tells, it is over. One that was renamed is written down anew."""
    if not handle.name or is_over(run):  # one without a name is known by its number alone
        return None
    if is_of_another_cluster(handle, cluster_name()):
        return JobInfo(handle.job, ELSEWHERE, cluster=handle.cluster, name=handle.name)
    info = look_up_anyones(handle.job)
    if info is None or not has_become(info, own_user(), _entered_at(run)):
        return None
    run.save_job(replace(handle, name=info.name))
    return info


def is_of_another_cluster(handle: JobHandle, here: str) -> bool:
    """Where either isn't known there is no reason to doubt it."""
    known = here and handle.cluster not in ("", "cluster")
    return bool(known) and handle.cluster.casefold() != here.casefold()


def has_become(info: JobInfo, user: str, entered_at: float) -> bool:
    """Whether a job of the run's number is its own under another name: it had begun by the time
    that the run was entered by its job. One that was given the number again began later."""
    began = info.start is not None and info.start <= entered_at + CLOCKS_S
    return began and not info.over and not info.waits and info.is_the_job("", user)


def _entered_at(run: Run) -> float:
    """In seconds since the epoch; 0: its job has never begun."""
    with contextlib.suppress(OSError):
        return (run.folder / ALLOCATION).stat().st_mtime
    return 0.0
