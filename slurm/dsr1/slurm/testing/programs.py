"""What the fake's programs do: `python -m dsr1.slurm.testing.programs FOLDER PROGRAM ARGUMENTS`."""

import argparse
import contextlib
import getpass
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from dsr1.slurm.testing.fake import FakeJob, FakeSlurm


def sbatch(fake: FakeSlurm, argv: Sequence[str]) -> int:
    options, script = _asked(argv)
    config = fake.config()
    if words := config["refusal"] or _refusal(config, options):
        print(f"sbatch: error: Batch job submission failed: {words}", file=sys.stderr)
        return 1
    nodes = int(options.get("nodes", 1))
    if "test-only" in options:
        print(f"sbatch: Job 0 to start at 2030-01-01T00:00:00 on {nodes} nodes", file=sys.stderr)
        return 0
    reason = config["held"] or ("PartitionNodeLimit" if nodes > len(config["nodes"]) else "")
    number = fake.add(
        {
            "state": "PENDING",
            "reason": reason,
            "options": options,
            "code": 0,
            "signal": 0,
            "nodes": nodes,
        }
    )
    (fake.folder / f"script-{number}").write_text(script)
    if not reason:
        _detached(fake, number)
    print(number if "parsable" in options else f"Submitted batch job {number}")
    return 0


def _asked(argv: Sequence[str]) -> tuple[dict[str, str], str]:
    """Options, those of the command line first, and the script."""
    given = [word for word in argv if word.startswith("-")]
    files = [word for word in argv if word not in given]
    script = Path(files[0]).read_text() if files else sys.stdin.read()
    options: dict[str, str] = {}
    for word in (*_directives(script), *given):
        name, _, value = word.lstrip("-").partition("=")
        options[name] = value
    return options, script


def _directives(script: str) -> list[str]:
    words = []
    for line in script.splitlines():
        if line.startswith("#SBATCH "):
            words += shlex.split(line.removeprefix("#SBATCH "))
    return words


def _refusal(config: dict[str, Any], options: dict[str, str]) -> str:
    if options.get("partition", config["partitions"][0]) not in config["partitions"]:
        return "Invalid partition name specified"
    too_many = int(options.get("nodes", 1)) > len(config["nodes"])
    return "Node count specification invalid" if too_many and config["version"] != "22.05" else ""


def _detached(fake: FakeSlurm, number: str) -> None:
    argv = (sys.executable, "-m", "dsr1.slurm.testing.programs", str(fake.folder), "run", number)
    null = subprocess.DEVNULL
    subprocess.Popen(argv, stdin=null, stdout=null, stderr=null, start_new_session=True)


def run(fake: FakeSlurm, argv: Sequence[str]) -> int:
    """What slurmd does: the batch step, its output, and how it ended."""
    number, job = argv[0], fake.job(argv[0])
    hosts = fake.config()["nodes"][: job["nodes"]]
    output = job["options"].get("output", "slurm-%j.out").replace("%j", number)
    own = {
        "SLURM_JOB_ID": number,
        "SLURM_JOB_NAME": _name(job),
        "SLURM_JOB_NODELIST": ",".join(hosts),
        "SLURM_CLUSTER_NAME": "fake",
    }
    with Path(output.replace("%x", job["options"].get("job-name", "sbatch"))).open("ab") as log:
        command = ("bash", str(fake.folder / f"script-{number}"))
        child = subprocess.Popen(
            command, env=os.environ | own, stdout=log, stderr=log, start_new_session=True
        )
        fake.change(number, state="RUNNING", pid=child.pid, start=time.time(), hosts=hosts)
        code = child.wait()
    cancelled = fake.job(number).get("cancelled")
    state = "CANCELLED" if cancelled else "FAILED" if code else "COMPLETED"
    fake.change(number, state=state, code=max(code, 0), signal=max(-code, 0))
    return 0


def squeue(fake: FakeSlurm, argv: Sequence[str]) -> int:
    if "--json" not in argv:
        print(*map(_line, fake.jobs()), sep="\n")
        return 0
    if not fake.config()["json"]:
        print("squeue: fatal: Unable to find plugin: serializer/json", file=sys.stderr)
        return 1
    show = _newer if fake.config()["version"] != "22.05" else _older
    print(json.dumps({"jobs": [show(job) for job in fake.jobs()], "errors": []}))
    return 0


def _line(job: FakeJob) -> str:
    """As LINE of dsr1.slurm.states is asked for."""
    begun = (
        time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(job["start"]))
        if "start" in job
        else "N/A"
    )
    fields = (
        job["job"],
        job["state"],
        job["reason"] or "None",
        begun,
        _owner(job),
        ",".join(job.get("hosts", ())),
        _name(job),
    )
    return "|".join(fields)


def _older(job: FakeJob) -> dict[str, Any]:
    return _common(job) | {
        "job_state": job["state"],
        "exit_code": job["code"] << 8 | job["signal"],
        "start_time": int(job.get("start", 0)),
        "preempt_time": 0,
    }


def _newer(job: FakeJob) -> dict[str, Any]:
    def number(value: float) -> dict[str, Any]:
        return {"set": True, "infinite": False, "number": int(value)}

    return _common(job) | {
        "job_state": [job["state"]],
        "exit_code": {
            "return_code": number(job["code"]),
            "signal": {"id": number(job["signal"]), "name": ""},
        },
        "start_time": number(job.get("start", 0)),
        "preempt_time": number(0),
    }


def _common(job: FakeJob) -> dict[str, Any]:
    return {
        "job_id": int(job["job"]),
        "state_reason": job["reason"] or "None",
        "user_name": _owner(job),
        "nodes": ",".join(job.get("hosts", ())),
        "cluster": "fake",
        "name": _name(job),
    }


def _owner(job: FakeJob) -> str:
    return str(job.get("user") or getpass.getuser())


def _name(job: FakeJob) -> str:
    return str(job["options"].get("job-name", "sbatch"))


def sacct(fake: FakeSlurm, argv: Sequence[str]) -> int:
    """As FIELDS of dsr1.slurm.states are asked for."""
    if state := fake.config()["accounting"]:
        words = (
            "Slurm accounting storage is disabled"
            if state == "disabled"
            else "Problem talking to the database"
        )
        print(f"sacct: error: {words}", file=sys.stderr)
        return 1
    wanted = next(word.partition("=")[2] for word in argv if word.startswith("--jobs=")).split(",")
    for job in fake.jobs():
        if job["job"] in wanted:
            fields = (
                job["job"],
                job["state"],
                f"{job['code']}:{job['signal']}",
                job["reason"],
                _owner(job),
            )
            print("|".join((*fields, ",".join(job.get("hosts", ())), "fake", _name(job))))
    return 0


def scancel(fake: FakeSlurm, argv: Sequence[str]) -> int:
    number = next(word for word in argv if not word.startswith("-"))
    name = next((word.partition("=")[2] for word in argv if word.startswith("--signal=")), "")
    job = fake.job(number)
    if job["state"] == "PENDING":
        fake.change(number, state="CANCELLED")
    elif job["state"] == "RUNNING":
        fake.change(number, cancelled=not name)
        with contextlib.suppress(ProcessLookupError):
            os.kill(job["pid"], signal.Signals[f"SIG{name or 'TERM'}"])
    return 0


def scontrol(fake: FakeSlurm, argv: Sequence[str]) -> int:
    """`update JobId=1 NodeList=a,b`: a running job goes on with fewer nodes."""
    asked = dict(word.split("=", 1) for word in argv[1:])
    job, kept = fake.job(asked["JobId"]), asked["NodeList"].split(",")
    if job["state"] != "RUNNING" or not set(kept) < set(job["hosts"]):
        print("slurm_update error: Requested node configuration is not available", file=sys.stderr)
        return 1
    fake.change(asked["JobId"], hosts=kept)
    return 0


def srun(fake: FakeSlurm, argv: Sequence[str]) -> int:
    """A step becomes its command, with what slurmd tells a task."""
    parser = argparse.ArgumentParser()
    for option in (
        "--jobid",
        "--mem",
        "--nodes",
        "--ntasks",
        "--nodelist",
        "--cpu-bind",
        "--mpi",
        "--export",
    ):
        parser.add_argument(option)
    for option in ("--kill-on-bad-exit", "--job-name", "--het-group"):
        parser.add_argument(option)
    parser.add_argument("--overlap", action="store_true")
    parser.add_argument("--unbuffered", action="store_true")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    asked = parser.parse_args(argv)
    if asked.nodelist not in fake.config()["nodes"]:
        print(
            f"srun: error: Unable to create step for job {asked.jobid}: Invalid node name",
            file=sys.stderr,
        )
        return 1
    env = os.environ | {
        "SLURM_LAUNCH_NODE_IPADDR": first_address(),
        "SLURMD_NODENAME": asked.nodelist,
    }
    os.execvpe(asked.command[0], asked.command, env)
    return 127


def first_address() -> str:
    """IPv4, and no loopback."""
    entries = [entry for entries in psutil.net_if_addrs().values() for entry in entries]
    addresses = (entry.address for entry in entries if entry.family == socket.AF_INET)
    return next(address for address in addresses if not address.startswith("127."))


PROGRAMS = {"run": run} | {
    tool.__name__: tool for tool in (sbatch, squeue, sacct, scancel, scontrol, srun)
}


def main(argv: Sequence[str]) -> int:
    folder, program, *rest = argv
    with (Path(folder) / "calls").open("a") as calls:
        calls.write(f"{shlex.join((program, *rest))}\n")
    return PROGRAMS[program](FakeSlurm(Path(folder)), rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
