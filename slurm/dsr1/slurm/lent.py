"""The end of an allocation that a deployment is in and that isn't its own: known from Slurm, and
told in time."""

import contextlib
import threading
import time
from collections.abc import Callable

from dsr1.hosts.errors import Dsr1Error
from dsr1.slurm.allocation import Allocation
from dsr1.slurm.handle import JobHandle
from dsr1.slurm.job_queue import Queue
from dsr1.slurm.states import JobInfo

ASK_S, LEAST_S = 30.0, 1.0
TIME_IS_NEAR = "the time limit of its allocation, job {job}, is near"
HAS_ENDED = "its allocation, job {job}, has ended"


def end_of_allocation(info: JobInfo | None, job: str, warn_s: float, now: float) -> str:
    """Why a run in it ends now. Empty: it doesn't."""
    if info is None or info.over:
        return HAS_ENDED.format(job=job)
    if info.left_s(now) <= warn_s:
        return TIME_IS_NEAR.format(job=job)
    return ""


def next_look_s(info: JobInfo | None, warn_s: float, now: float) -> float:
    """When to ask again: its limit may be moved meanwhile (scontrol)."""
    left_s = info.left_s(now) - warn_s if info else ASK_S
    return min(ASK_S, max(LEAST_S, left_s))


def watch_allocation(
    queue: Queue, allocation: Allocation, warn_s: float, request_stop: Callable[[str], None]
) -> None:
    """Beside the supervisor."""
    handle = JobHandle(allocation.cluster, allocation.job)

    def watch() -> None:
        wait_s = 0.0
        while True:
            time.sleep(wait_s)
            wait_s = ASK_S
            with contextlib.suppress(Dsr1Error):  # slurmctld is down for a while
                info, now = queue.look_up([handle]).get(handle.job), time.time()
                if why := end_of_allocation(info, handle.job, warn_s, now):
                    return request_stop(why)
                wait_s = next_look_s(info, warn_s, now)

    threading.Thread(target=watch, daemon=True).start()
