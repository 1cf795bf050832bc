"""Slurm's commands, and what they know of jobs: one question for all jobs of a user, however many are asked about."""

import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from dsr1.hosts.errors import HostError, InputError
from dsr1.slurm.states import FIELDS, JobInfo, parse_sacct, parse_squeue

ANSWER_S, LOOK_S = 60.0, 4.0


def call(
    argv: Sequence[str], timeout: float = ANSWER_S, given: str = "", env: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """InputError: there is no Slurm here. HostError: it doesn't answer."""
    require(argv[0])
    try:
        return subprocess.run(
            argv, input=given, capture_output=True, text=True, timeout=timeout, check=False, env=env, errors="replace"
        )
    except subprocess.TimeoutExpired:
        raise HostError(f"Slurm does not answer: {argv[0]} took over {timeout:.0f} s; is slurmctld up?") from None


def require(tool: str) -> None:
    if shutil.which(tool) is None:
        raise InputError(f"{tool} is not there: no Slurm on this machine; go to a login node, or use --hosts")


def said(done: "subprocess.CompletedProcess[str]") -> str:
    """Slurm's own words, less its prefixes."""
    lines = [line.partition("error: ")[2] or line for line in (done.stderr or done.stdout).strip().splitlines()]
    return " | ".join(dict.fromkeys(lines)) or f"exit status {done.returncode}"


def jobs_of_mine() -> dict[str, JobInfo]:
    """All that slurmctld has: those that wait and run, and those that ended in the last minutes."""
    done = call(("squeue", "--json", "--states=all", "--me"), LOOK_S)
    try:
        return parse_squeue(done.stdout)
    except (ValueError, KeyError, TypeError):
        raise HostError(f"Slurm does not answer: squeue: {said(done)}") from None


def jobs_accounted(jobs: Collection[str]) -> dict[str, JobInfo]:
    """From the accounting; nothing where there is none, or where it doesn't answer."""
    argv = ("sacct", "--noheader", "--parsable2", "--allocations", "--duplicates", f"--format={','.join(FIELDS)}")
    done = call((*argv, f"--jobs={','.join(sorted(jobs))}"))
    return parse_sacct(done.stdout) if done.returncode == 0 else {}


def look_up(jobs: Collection[str]) -> Mapping[str, JobInfo]:
    """What Slurm knows of these jobs: two calls at most. One it knows no more is not among them."""
    if not jobs:
        return {}
    known = {job: info for job, info in jobs_of_mine().items() if job in jobs}
    unsure = [job for job in jobs if job not in known or known[job].over]
    told = jobs_accounted(unsure) if unsure else {}
    preempted = {job for job, info in known.items() if info.preempted}
    return known | {job: replace(info, preempted=job in preempted) for job, info in told.items()}


def cancel(job: str, *how: str) -> None:
    """HostError with scancel's words, unless the job is over by now."""
    done = call(("scancel", *how, job))
    if done.returncode != 0 and "already complet" not in done.stderr and "Invalid job id" not in done.stderr:
        raise HostError(f"job {job}: scancel: {said(done)}")
