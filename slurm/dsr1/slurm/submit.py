"""Submits a batch script by submitit's Slurm executor: the very text that `render --sbatch`
prints."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dsr1.hosts.errors import InputError
from dsr1.slurm.client import call, output_or_error, require
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


def submit(script: str, folder: Path) -> str:
    """The job's id. InputError with sbatch's own words and what to do."""
    require("sbatch")
    require("srun")
    from submitit.core.utils import FailedJobError
    from submitit.slurm.slurm import SlurmExecutor

    class ScriptExecutor(SlurmExecutor):
        """Its script is ours: the batch step becomes the supervisor, so every signal is the
        supervisor's own."""

        def _make_submission_file_text(self, command: str, uid: str) -> str:
            return script

    folder.mkdir(parents=True, exist_ok=True)
    with _only(submission_environment(os.environ, script)):
        try:
            return str(ScriptExecutor(folder)._submit_command("").job_id)
        except FailedJobError as error:
            raise InputError(refusal(str(error))) from None


def try_only(script: str) -> str:
    """What `sbatch --test-only` says of it. InputError when it would be refused."""
    done = call(
        ("sbatch", "--test-only"), given=script, env=submission_environment(os.environ, script)
    )
    if done.returncode != 0:
        raise InputError(refusal(output_or_error(done)))
    return output_or_error(done)


def refusal(words: str) -> str:
    lines = [line.rpartition("error: ")[2].strip() for line in words.splitlines() if line.strip()]
    text = " | ".join(
        dict.fromkeys(line for line in lines if line and not line.startswith("Traceback"))
    )
    advice = next((what for word, what in ADVICE if word in text.lower()), "")
    return f"sbatch: {text}" + (f"\n{advice}" if advice else "")


@contextmanager
def _only(env: Mapping[str, str]) -> Iterator[None]:
    """submitit gives sbatch the environment that there is."""
    gone = {name: os.environ.pop(name) for name in set(os.environ) - set(env)}
    try:
        yield
    finally:
        os.environ.update(gone)
