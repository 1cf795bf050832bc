"""What Slurm knows of a user's jobs: one question for all, however many are asked about."""

import contextlib
import fcntl
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO

from dsr1.hosts.errors import HostError
from dsr1.hosts.protocol.atomic import write_file
from dsr1.slurm.client import (
    ANSWER_S,
    LOOK_S,
    ask_queue,
    call,
    jobs_accounted,
    output_or_error,
    own_user,
)
from dsr1.slurm.handle import JobHandle
from dsr1.slurm.states import JobInfo, parse_squeue

SHARED_S, LOCK_POLL_S = 2.0, 0.02


class Queue:
    """What Slurm knows of a user's jobs. Many askers at once share the answer that one got, for a
    few seconds, by a file.
    """

    def __init__(self, shared: Path) -> None:
        self._shared = shared

    def look_up(self, jobs: Iterable[JobHandle], fresh: bool = False) -> dict[str, JobInfo]:
        """By number. Two calls at most, however many jobs. What Slurm knows no more, or has under
        another name or user, is not among them: numbers begin anew when a slurmctld loses its
        state.

        `fresh`: not another's answer from before now, and with patience.
        """
        wanted = {handle.job: handle for handle in jobs}
        if not wanted:
            return {}
        queued = {job: info for job, info in self._mine(fresh).items() if job in wanted}
        unsure = [job for job in wanted if job not in queued or queued[job].over]
        return _own_jobs(wanted, queued | _with_queued(self._accounted(unsure, queued), queued))

    def listed(self, jobs: Iterable[JobHandle]) -> dict[str, JobInfo]:
        """Of these what is in squeue's answer, whoever asked for it: the accounting isn't asked."""
        return _own_jobs({handle.job: handle for handle in jobs}, self._mine(fresh=False))

    def mine(self) -> dict[str, JobInfo]:
        """All of this user's, by number, whatever their names: arrays are left out."""
        jobs, user = self._mine(fresh=True), own_user()
        return {
            job: info
            for job, info in jobs.items()
            if info.is_the_job("", user) and not info.in_array
        }

    def named(self, name: str) -> dict[str, JobInfo]:
        """This user's jobs of that name, by number: those that wait and run, and those that ended
        in the last minutes."""
        user = own_user()
        return {
            job: info
            for job, info in self._mine(fresh=True).items()
            if info.name == name and info.is_the_job(name, user)
        }

    @staticmethod
    def _accounted(jobs: Collection[str], known: Collection[str]) -> Mapping[str, JobInfo]:
        """An accounting that is down isn't missed where slurmctld knows as much."""
        if not jobs:
            return {}
        try:
            return jobs_accounted(jobs)
        except HostError:
            if set(jobs) <= set(known):
                return {}
            raise

    def cancel(self, handle: JobHandle, *how: str) -> None:
        """Nothing happens to a job that is over, or is another one by now. HostError with scancel's
        words."""
        if handle.job not in self.look_up((handle,), fresh=True):
            return
        done = call(("scancel", *how, handle.job))
        if (
            done.returncode != 0
            and "already complet" not in done.stderr
            and "Invalid job id" not in done.stderr
        ):
            raise HostError(f"job {handle.job}: scancel: {output_or_error(done)}")
        self._shared.unlink(missing_ok=True)

    def _mine(self, fresh: bool) -> dict[str, JobInfo]:
        if fresh:
            return self._ask(ANSWER_S)
        known = self._recent()
        if known is not None:
            return known
        with self._one_asks():  # who waited for the one that asked takes its answer
            known = self._recent()
            return self._ask(LOOK_S) if known is None else known

    def _ask(self, patience_s: float) -> dict[str, JobInfo]:
        answer = ask_queue("--me", patience_s)
        with contextlib.suppress(OSError):
            write_file(self._shared, answer.encode())
        return parse_squeue(answer)

    def _recent(self) -> dict[str, JobInfo] | None:
        """Another's answer. None: there is none, or it is spoilt."""
        with contextlib.suppress(OSError, ValueError):
            if self._is_recent():
                return parse_squeue(self._shared.read_text())
        return None

    @contextlib.contextmanager
    def _one_asks(self) -> Iterator[None]:
        """At a time, of those that share it. Where the file system knows no locks, or one who asks
        hangs, all do."""
        with contextlib.ExitStack() as opened:
            with contextlib.suppress(OSError):
                lock = opened.enter_context(self._shared.with_suffix(".lock").open("a"))
                _lock_in_time(lock, LOOK_S)
            yield

    def _is_recent(self) -> bool:
        """Another user's, in a folder that several share, tells of another user's jobs."""
        stat = self._shared.stat()
        return stat.st_uid == os.getuid() and 0 <= time.time() - stat.st_mtime < SHARED_S


def _lock_in_time(file: IO[str], seconds: float) -> None:
    """BlockingIOError: another has it for so long."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
        time.sleep(LOCK_POLL_S)


def _own_jobs(wanted: Mapping[str, JobHandle], found: Mapping[str, JobInfo]) -> dict[str, JobInfo]:
    """Those of this user that have the names that they should have."""
    user, own = own_user(), {}
    for job, handle in wanted.items():
        info = found.get(job)
        if info is not None and info.is_the_job(handle.name, user):
            own[job] = info
    return own


def _with_queued(
    accounted: Mapping[str, JobInfo], queued: Mapping[str, JobInfo]
) -> dict[str, JobInfo]:
    """What squeue alone knows."""
    return {
        job: replace(
            info,
            preempted=queued[job].preempted,
            restarts=queued[job].restarts,
            may_requeue=queued[job].may_requeue,
        )
        if job in queued
        else info
        for job, info in accounted.items()
    }
