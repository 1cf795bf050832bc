"""Submits a batch script, and finds the job that came of it by its name, whatever sbatch answers.

sbatch is called as it is, not by a library: submitit reads the first number of sbatch's answer and
gives it the whole environment, and a site's wrapper may print what it likes.
"""

import os
import re
from collections.abc import Mapping

from dsr1.hosts.errors import HostError, InputError
from dsr1.hosts.inventory.names import name_few
from dsr1.slurm.client import call, output_or_error, require, script_of
from dsr1.slurm.handle import JobHandle
from dsr1.slurm.job_queue import Queue
from dsr1.slurm.nodes import MOST_NAMED, unfit_nodes
from dsr1.slurm.states import JobInfo
from dsr1.slurm.surroundings import submission_environment

ADVICE = (
    ("account", "`sacctmgr show assoc user=$USER` lists your accounts; give --account"),
    ("partition", "`sinfo -s` lists the partitions; give --partition"),
    ("qos", "`sacctmgr show assoc user=$USER format=account,qos` lists yours; give --qos"),
    ("time", "4:00:00 or 1-12 (days-hours) are times; give --time"),
    ("group not permitted", "another partition, or ask who runs the cluster"),
    ("node configuration", "`sinfo -o '%P %D %G'` shows nodes and GPUs of each partition"),
    ("node count", "`sinfo -s` shows how many nodes a partition has"),
)
MOST_READ = 20  # scripts of jobs, for want of one by the name
_ANSWER = re.compile(r"(\d+)(;\S*)?")


def submit(
    script: str, name: str, queue: Queue, own: Mapping[str, str] | None = None, before: str = ""
) -> JobInfo:
    """The job that a script of that name became. The name is one that no other job has, but for
    the job `before` that submits its successor. `own` are variables that the job gets.

    Raises InputError with sbatch's own words and what to do: there is no job. HostError: whether
    there is one isn't known.
    """
    require("srun")
    env = submission_environment(os.environ, script) | dict(own or {})
    options = (f"--job-name={name}", *(("--export=ALL",) if own else ()))
    try:
        done = call(("sbatch", "--parsable", *options), given=script, env=env)
    except HostError as silent:
        raise HostError(_taken_back(str(silent), name, before, queue)) from None
    if done.returncode != 0:
        raise InputError(_taken_back(_refused(output_or_error(done)), name, before, queue))
    job = _find_submitted(done.stdout, name, before, queue)
    return job or _find_renamed(done.stdout, script, name, before, queue)


def parse_answer(text: str) -> str:
    """The job's number, of `sbatch --parsable`: the last line, after whatever a wrapper says.
    Empty: that isn't one."""
    lines = text.strip().splitlines()
    found = _ANSWER.fullmatch(lines[-1].strip()) if lines else None
    return found[1] if found else ""


def choose_job(answer: str, jobs: Mapping[str, JobInfo]) -> JobInfo | None:
    """Of the jobs of the run's own name the one that sbatch answered, else the newest."""
    if answer in jobs or not jobs:
        return jobs.get(answer)
    return jobs[max(jobs, key=int)]


def _find_submitted(output: str, name: str, before: str, queue: Queue) -> JobInfo | None:
    answer = parse_answer(output)
    job = choose_job(answer, _others(queue.named(name), before))
    if job is None and answer:  # one that ended at once, and that only the accounting knows
        job = queue.look_up((JobHandle("", answer, name),), fresh=True).get(answer)
    return job


def _find_renamed(output: str, script: str, name: str, before: str, queue: Queue) -> JobInfo:
    """A site's plugin may have given it another name: it is the newest that has the script."""
    jobs = _others(queue.mine(), before)
    going = [job for job, info in jobs.items() if not info.over]
    for job in sorted(going, key=int, reverse=True)[:MOST_READ]:
        if script_of(job).strip() == script.strip():
            return jobs[job]
    words = " | ".join(output.strip().splitlines()[-3:])
    raise HostError(f"sbatch answered {words!r}, and Slurm knows no job named {name}")


def _taken_back(words: str, name: str, before: str, queue: Queue) -> str:
    """The words of an sbatch that failed. It may have submitted all the same: that job is
    cancelled. HostError: whether there is one isn't known."""
    try:
        jobs = _others(queue.named(name), before)
        left = [info.handle for info in jobs.values() if not info.over]
        for handle in left:
            queue.cancel(handle)
    except HostError as error:
        raise HostError(f"{words}\nIs there a job named {name}? {error}") from None
    cancelled = (f"job {handle.job}, submitted all the same, was cancelled" for handle in left)
    return "\n".join((words, *cancelled))


def _others(jobs: Mapping[str, JobInfo], before: str) -> dict[str, JobInfo]:
    return {job: info for job, info in jobs.items() if job != before}


def try_only(script: str) -> str:
    """What `sbatch --test-only` says of it. InputError when it would be refused."""
    done = call(
        ("sbatch", "--test-only"), given=script, env=submission_environment(os.environ, script)
    )
    if done.returncode != 0:
        raise InputError(_refused(output_or_error(done)))
    return output_or_error(done)


def _refused(told: str) -> str:
    """Also which nodes are out of service, where there are too few."""
    words = _refused_by(told)
    unfit = name_few(unfit_nodes("--all"), MOST_NAMED) if "node configuration" in words else ""
    return f"{words}\nout of service: {unfit}" if unfit else words


def _refused_by(words: str) -> str:
    lines = [line.rpartition("error: ")[2].strip() for line in words.splitlines() if line.strip()]
    text = " | ".join(
        dict.fromkeys(line for line in lines if line and not line.startswith("Traceback"))
    )
    advice = next((what for word, what in ADVICE if word in text.lower()), "")
    return f"sbatch: {text}" + (f"\n{advice}" if advice else "")
