"""Slurm's commands, what is asked of them, and what is no answer."""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import psutil

from dsr1.hosts.errors import HostError, InputError
from dsr1.hosts.protocol.bounded import parse_bounded
from dsr1.slurm.states import FIELDS, LINE, JobInfo, parse_sacct, parse_squeue
from dsr1.slurm.surroundings import plain_environment

ANSWER_S, LOOK_S = 60.0, 10.0
_JSON = re.compile(r"^\{.*\}$", re.DOTALL | re.MULTILINE)
_LINE = re.compile(r"\d+\|")
NO_SCRIPT = ("script not specified", "Invalid job id")
NO_JSON = ("serializer", "unrecognized option", "invalid option")  # as it was built, or too old
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


def own_user() -> str:
    """As Slurm knows this process's user."""
    return psutil.Process().username()


def ask_queue(whose: str, timeout: float = LOOK_S) -> str:
    """All that slurmctld has: jobs that wait and run, and those that ended in the last minutes. For
    `parse_squeue`. What a site's wrapper says around it is left out."""
    done = call(("squeue", "--json", "--states=all", whose), timeout)
    if any(word in done.stderr for word in NO_JSON):
        done = call(("squeue", "--noheader", f"--format={LINE}", "--states=all", whose), timeout)
        told, answers = _job_lines(done.stdout), done.returncode == 0
    else:
        told = "".join(_JSON.findall(done.stdout))
        answers = done.returncode == 0 and bool(told)
    with contextlib.suppress(ValueError):
        if parse_squeue(told) or answers:
            return told
    # squeue tells no jobs, in good JSON, when slurmctld is down
    raise HostError(f"Slurm does not answer: squeue: {output_or_error(done)}")


def _job_lines(text: str) -> str:
    """Less what a site's wrapper says around them."""
    return "\n".join(line for line in text.splitlines() if _LINE.match(line))


def look_up_anyones(job: str) -> JobInfo | None:
    """A job that may be another user's, as far as Slurm shows those."""
    with contextlib.suppress(HostError):
        if info := parse_squeue(ask_queue(f"--jobs={job}")).get(job):
            return info
    return jobs_accounted([job]).get(job)


def script_of(job: str) -> str:
    """Of a job of this user's that slurmctld has. Empty: it has none, as salloc's. HostError: that
    can't be told."""
    done = call(("scontrol", "write", "batch_script", job, "-"), LOOK_S)
    if done.stdout.startswith("#!") or any(word in done.stderr for word in NO_SCRIPT):
        return done.stdout
    raise HostError(f"job {job}: its script can't be read: scontrol: {output_or_error(done)}")


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
        return parse_sacct(_job_lines(done.stdout))
    if "disabled" in done.stderr:
        return {}
    raise HostError(f"Slurm does not answer: sacct: {output_or_error(done)}")


def shrink(job: str, kept: Sequence[str], folder: Path) -> None:
    """The job goes on with these nodes. scontrol leaves scripts for shells in `folder`, which
    nobody needs."""
    done = call(("scontrol", "update", f"JobId={job}", f"NodeList={','.join(kept)}"), cwd=folder)
    if done.returncode != 0:
        raise HostError(f"scontrol: {output_or_error(done)}")
