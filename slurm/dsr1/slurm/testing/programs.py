"""What the fake's programs do: `python -m dsr1.slurm.testing.programs FOLDER PROGRAM ARGUMENTS`."""

import argparse
import contextlib
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

from dsr1.slurm.testing.answers import (
    line_of,
    moment_text,
    name_of,
    newer_json,
    older_json,
    owner_of,
)
from dsr1.slurm.testing.fake import FakeSlurm


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
            "options": {"time": config["default_time"]} | options,
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
    restarts = job.get("restarts", 0)
    own = {"SLURM_RESTART_COUNT": str(restarts)} if restarts else {}
    own |= {
        "SLURM_JOB_ID": number,
        "SLURM_JOB_NAME": name_of(job),
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
    fake.change(number, state=state, code=max(code, 0), signal=max(-code, 0), end=time.time())
    return 0


def squeue(fake: FakeSlurm, argv: Sequence[str]) -> int:
    if "--json" not in argv:
        print(*map(line_of, fake.jobs()), sep="\n")
        return 0
    if not fake.config()["json"]:
        print("squeue: fatal: Unable to find plugin: serializer/json", file=sys.stderr)
        return 1
    show = newer_json if fake.config()["version"] != "22.05" else older_json
    print(json.dumps({"jobs": [show(job) for job in fake.jobs()], "errors": []}))
    return 0


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
                owner_of(job),
            )
            hosts = ",".join(job.get("hosts", ()))
            print("|".join((*fields, hosts, "fake", moment_text(job.get("end")), name_of(job))))
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
    """`show config`; `write batch_script 1 -`; `update JobId=1 NodeList=a,b`: a running job goes on
    with fewer nodes."""
    if argv[:2] == ["show", "config"]:
        print(f"ClusterName             = {fake.config()['cluster']}")
        return 0
    if argv[:2] == ["write", "batch_script"]:
        script = fake.folder / f"script-{argv[2]}"
        if script.exists():
            print(script.read_text())
        else:
            print("job script retrieval failed: Job script not specified", file=sys.stderr)
        return 0
    asked = dict(word.split("=", 1) for word in argv[1:])
    job, kept = fake.job(asked["JobId"]), asked["NodeList"].split(",")
    if job["state"] != "RUNNING" or not set(kept) < set(job["hosts"]):
        print("slurm_update error: Requested node configuration is not available", file=sys.stderr)
        return 1
    fake.change(asked["JobId"], hosts=kept)
    return 0


def sinfo(fake: FakeSlurm, argv: Sequence[str]) -> int:
    """As dsr1.slurm.nodes and `dsr1 init` ask: lines of the given form."""
    config = fake.config()
    form = next(word.partition("=")[2] for word in argv if word.startswith("--format="))
    if "--Node" in argv:
        states = dict.fromkeys(config["nodes"], ("idle", "none")) | config["unfit"]
        rows = [{"%N": node, "%T": state, "%E": why} for node, (state, why) in states.items()]
    else:
        nodes, limit = str(len(config["nodes"])), config["most_time"]
        rows = [{"%P": f"{config['partitions'][0]}*", "%D": nodes, "%G": "gpu:8", "%l": limit}]
    for row in rows:
        print("|".join(row[part] for part in form.split("|")))
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
    given = list(argv)
    for option in fake.config()["srun_options"]:
        given.remove(option)
    asked = parser.parse_args(given)
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
    tool.__name__: tool for tool in (sbatch, squeue, sacct, scancel, scontrol, sinfo, srun)
}


def main(argv: Sequence[str]) -> int:
    folder, program, *rest = argv
    with (Path(folder) / "calls").open("a") as calls:
        calls.write(f"{shlex.join((program, *rest))}\n")
    return PROGRAMS[program](FakeSlurm(Path(folder)), rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
