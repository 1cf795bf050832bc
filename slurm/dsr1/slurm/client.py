"""Slurm's commands, and what they know of jobs: one question for all of a user's, however many are
asked about."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dsr1.hosts.errors import HostError, InputError
from dsr1.hosts.protocol.atomic import write_file
from dsr1.slurm.states import FIELDS, LINE, JobInfo, parse_sacct, parse_squeue
from dsr1.slurm.surroundings import plain_environment

ANSWER_S, LOOK_S, SHARED_S = 60.0, 10.0, 2.0
NONE_HERE = "no Slurm on this machine: go to a login node, or use --hosts"


def call(
    argv: Sequence[str],
    timeout: float = ANSWER_S,
    given: str = "",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> "subprocess.CompletedProcess[str]":
    """`env`: plain, if it isn't said. InputError: there is no Slurm here. HostError: it doesn't
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


def output_or_error(done: "subprocess.CompletedProcess[str]") -> str:
    """Slurm's own words, less its prefixes."""
    lines = [
        line.partition("error: ")[2] or line
        for line in (done.stderr or done.stdout).strip().splitlines()
    ]
    return " | ".join(dict.fromkeys(lines)) or f"exit status {done.returncode}"


class Queue:
    """What Slurm knows of a user's jobs. Many askers at once share what one was told, for a few
    seconds, by a file."""

    def __init__(self, shared: Path) -> None:
        self._shared = shared

    def look_up(self, jobs: Collection[str], fresh: bool = False) -> Mapping[str, JobInfo]:
        """Two calls at most, however many jobs; one that Slurm knows no more is not among them.

        `fresh`: not what another was told before now, and with patience.
        """
        if not jobs:
            return {}
        known = {job: info for job, info in self._mine(fresh).items() if job in jobs}
        unsure = [job for job in jobs if job not in known or known[job].over]
        preempted = {job for job, info in known.items() if info.preempted}
        told = self._accounted(unsure, known) if unsure else {}
        return known | {
            job: replace(info, preempted=job in preempted) for job, info in told.items()
        }

    @staticmethod
    def _accounted(jobs: Collection[str], known: Collection[str]) -> Mapping[str, JobInfo]:
        """An accounting that is down isn't missed where slurmctld knows as much."""
        try:
            return jobs_accounted(jobs)
        except HostError:
            if set(jobs) <= set(known):
                return {}
            raise

    def cancel(self, job: str, *how: str) -> None:
        """HostError with scancel's words, unless the job is over by now."""
        done = call(("scancel", *how, job))
        if (
            done.returncode != 0
            and "already complet" not in done.stderr
            and "Invalid job id" not in done.stderr
        ):
            raise HostError(f"job {job}: scancel: {output_or_error(done)}")
        self._shared.unlink(missing_ok=True)

    def _mine(self, fresh: bool) -> dict[str, JobInfo]:
        with contextlib.suppress(OSError, ValueError):
            if not fresh and self._is_recent():
                return parse_squeue(self._shared.read_text())
        told = ask_queue("--me", ANSWER_S if fresh else LOOK_S)
        with contextlib.suppress(OSError):
            write_file(self._shared, told.encode())
        return parse_squeue(told)

    def _is_recent(self) -> bool:
        """Another user's, in a folder that several share, tells of another user's jobs."""
        seen = self._shared.stat()
        return seen.st_uid == os.getuid() and 0 <= time.time() - seen.st_mtime < SHARED_S


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
