"""Slurm's commands, and what they know of jobs: one question for all of a user's, however many are
asked about."""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

import psutil

from dsr1.hosts.errors import HostError, InputError
from dsr1.hosts.protocol.atomic import write_file
from dsr1.hosts.protocol.bounded import parse_bounded
from dsr1.slurm.handle import JobHandle
from dsr1.slurm.states import FIELDS, LINE, JobInfo, parse_sacct, parse_squeue
from dsr1.slurm.surroundings import plain_environment

ANSWER_S, LOOK_S, SHARED_S, LOCK_POLL_S = 60.0, 10.0, 2.0, 0.02
_CLUSTER = re.compile(r"^ClusterName\s*=\s*(\S+)", re.MULTILINE)
MOST_LINES = 5  # of what a command of Slurm's says, in a message
NONE_HERE = "no Slurm on this machine: go to a login node, or use --hosts"


def call(
    argv: Sequence[str],
    timeout: float = ANSWER_S,
    given: str = "",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> "subprocess.CompletedProcess[str]":
    """`env`: plain, if it isn't given. InputError: there is no Slurm here. HostError: it doesn't
    answer."""
    require(argv[0])
    env = plain_environment(os.environ) if env is None else env
    try:
        done = subprocess.run(
            argv,
            input=given,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=env,
            cwd=cwd,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        raise HostError(
            f"Slurm does not answer: {argv[0]} took over {timeout:.0f} s; is slurmctld up?"
        ) from None
    if "configuration source" in done.stderr:
        raise InputError(f"{NONE_HERE} ({argv[0]} finds no slurm.conf)")
    return done


def require(tool: str) -> None:
    if shutil.which(tool) is None:
        raise InputError(f"{NONE_HERE} ({tool} is not there)")


def _errors_in(stdout: str) -> str:
    with contextlib.suppress(ValueError, AttributeError, TypeError):
        errors = parse_bounded(stdout).get("errors")
        rows = [one for one in errors if isinstance(one, dict)] if errors else []
        return "\n".join(str(one.get("error") or one.get("description")) for one in rows)
    return ""


def output_or_error(done: "subprocess.CompletedProcess[str]") -> str:
    """Slurm's own words, less its prefixes; of an answer in JSON its errors alone."""
    told = _errors_in(done.stdout) or done.stdout
    lines = [
        line.partition("error: ")[2] or line
        for line in (done.stderr or told).strip().splitlines()[:MOST_LINES]
    ]
    return " | ".join(dict.fromkeys(lines)) or f"exit status {done.returncode}"


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
        return _own_jobs(wanted, queued | _with_preemption(self._accounted(unsure, queued), queued))

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


def _with_preemption(
    accounted: Mapping[str, JobInfo], queued: Mapping[str, JobInfo]
) -> dict[str, JobInfo]:
    """What squeue alone knows."""
    preempted = {job for job, info in queued.items() if info.preempted}
    return {job: replace(info, preempted=job in preempted) for job, info in accounted.items()}


def own_user() -> str:
    """As Slurm knows this process's user."""
    return psutil.Process().username()


def ask_queue(whose: str, timeout: float = LOOK_S) -> str:
    """All that slurmctld has: jobs that wait and run, and those that ended in the last minutes. For
    `parse_squeue`."""
    done = call(("squeue", "--json", "--states=all", whose), timeout)
    if "serializer" in done.stderr:  # built without JSON
        done = call(("squeue", "--noheader", f"--format={LINE}", "--states=all", whose), timeout)
    try:
        silent = not parse_squeue(done.stdout) and done.returncode != 0
    except ValueError:
        silent = True
    if silent:  # squeue tells no jobs, in good JSON, when slurmctld is down
        raise HostError(f"Slurm does not answer: squeue: {output_or_error(done)}")
    return done.stdout


def look_up_anyones(job: str) -> JobInfo | None:
    """A job that may be another user's, as far as Slurm shows those."""
    with contextlib.suppress(HostError):
        if info := parse_squeue(ask_queue(f"--jobs={job}")).get(job):
            return info
    return jobs_accounted([job]).get(job)


def cluster_name() -> str:
    """Of the Slurm that answers here. Empty: it doesn't say."""
    with contextlib.suppress(HostError, InputError):
        told = call(("scontrol", "show", "config"), LOOK_S).stdout
        found = _CLUSTER.search(told)
        return found[1] if found else ""
    return ""


def jobs_accounted(jobs: Collection[str]) -> dict[str, JobInfo]:
    """From the accounting; nothing where there is none. HostError: it doesn't answer."""
    if shutil.which("sacct") is None:
        return {}
    argv = (
        "sacct",
        "--noheader",
        "--parsable2",
        "--allocations",
        "--duplicates",
        f"--format={','.join(FIELDS)}",
    )
    done = call((*argv, f"--jobs={','.join(sorted(jobs))}"), LOOK_S)
    if done.returncode == 0:
        return parse_sacct(done.stdout)
    if "disabled" in done.stderr:
        return {}
    raise HostError(f"Slurm does not answer: sacct: {output_or_error(done)}")


def shrink(job: str, kept: Sequence[str], folder: Path) -> None:
    """The job goes on with these nodes. scontrol leaves scripts for shells in `folder`, which
    nobody needs."""
    done = call(("scontrol", "update", f"JobId={job}", f"NodeList={','.join(kept)}"), cwd=folder)
    if done.returncode != 0:
        raise HostError(f"scontrol: {output_or_error(done)}")
