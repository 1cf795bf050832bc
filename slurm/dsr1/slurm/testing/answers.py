"""How the fake tells of its jobs: as squeue and sacct do, in the shapes of two versions."""

import getpass
import time
from typing import Any

from dsr1.slurm.spec import duration_s
from dsr1.slurm.testing.fake import FakeJob


def line_of(job: FakeJob) -> str:
    """As LINE of dsr1.slurm.states is asked for."""
    fields = (
        job["job"],
        "1" if job.get("array") else "N/A",
        job["state"],
        job["reason"] or "None",
        moment_text(job.get("start")),
        moment_text(_end(job)),
        job["options"].get("time", "UNLIMITED"),
        job["options"].get("partition", "gpu"),
        owner_of(job),
        ",".join(job.get("hosts", ())),
        name_of(job),
    )
    return "|".join(fields)


def moment_text(seconds: float | None) -> str:
    """As Slurm prints it."""
    if seconds is None:
        return "N/A"
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(seconds))


def _end(job: FakeJob) -> float | None:
    """When its time is over, or was."""
    limit_s = duration_s(str(job["options"].get("time", "")))
    by_limit = job["start"] + limit_s if limit_s and "start" in job else None
    found: float | None = job.get("end", by_limit)
    return found


def older_json(job: FakeJob) -> dict[str, Any]:
    return _common(job) | {
        "job_state": job["state"],
        "exit_code": job["code"] << 8 | job["signal"],
        "start_time": int(job.get("start", 0)),
        "end_time": int(_end(job) or 0),
        "time_limit": duration_s(str(job["options"].get("time", ""))) // 60 or 2**32 - 1,
        "preempt_time": 0,
    }


def newer_json(job: FakeJob) -> dict[str, Any]:
    def number(value: float) -> dict[str, Any]:
        return {"set": True, "infinite": False, "number": int(value)}

    return _common(job) | {
        "job_state": [job["state"]],
        "exit_code": {
            "return_code": number(job["code"]),
            "signal": {"id": number(job["signal"]), "name": ""},
        },
        "start_time": number(job.get("start", 0)),
        "end_time": number(_end(job) or 0),
        "time_limit": number(duration_s(str(job["options"].get("time", ""))) // 60),
        "preempt_time": number(0),
    }


def _common(job: FakeJob) -> dict[str, Any]:
    return {
        "job_id": int(job["job"]),
        "state_reason": job["reason"] or "None",
        "user_name": owner_of(job),
        "nodes": ",".join(job.get("hosts", ())),
        "cluster": "fake",
        "partition": job["options"].get("partition", "gpu"),
        "name": name_of(job),
        "restart_cnt": job.get("restarts", 0),
        "requeue": "requeue" in job["options"],
        "array_job_id": int(job["job"]) if job.get("array") else 0,
    }


def owner_of(job: FakeJob) -> str:
    return str(job.get("user") or getpass.getuser())


def name_of(job: FakeJob) -> str:
    return str(job["options"].get("job-name", "sbatch"))
