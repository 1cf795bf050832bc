"""Runs a job that takes long. It ends with whoever ordered it: the end of stdin is its end, at any
point.

What a job leaves behind then, the next one goes on with.
"""

import importlib
import os
import threading
from collections.abc import Iterator
from functools import partial
from queue import SimpleQueue
from typing import Any

from dsr1.hosts.protocol.jobs.messages import JobFunction, run_job_function
from dsr1.hosts.protocol.jobs.orders import DRIVE, FABRIC, FETCH, PUSH, VERIFY, Job
from dsr1.hosts.protocol.log_lines import STREAM_BLOCK, split_lines
from dsr1.hosts.protocol.plain import parse_json

JOBS: dict[str, tuple[Job[Any, Any], str, str]] = {
    "drive": (DRIVE, "dsr1.hosts.agent.driving.drive", "drive_job"),
    "fabric": (FABRIC, "dsr1.hosts.agent.network.fabric", "fabric_job"),
    "fetch": (FETCH, "dsr1.hosts.hub.fetch", "fetch_model_job"),
    "push": (PUSH, "dsr1.hosts.agent.model.push", "push_model_job"),
    "verify": (VERIFY, "dsr1.hosts.agent.model.verify", "verify_model_job"),
}


def run_named_job(name: str) -> int:
    """The order and the replies are lines of stdin, so that no secret of theirs is in an argument.
    All it says goes to stdout."""
    os.dup2(1, 2)
    if name not in JOBS:
        raise LookupError(f"no job is called {name!r}")
    job, module, function = JOBS[name]
    # Unbuffered: a thread that waits in sys.stdin at its end kills the interpreter.
    lines, replies = split_lines(iter(partial(os.read, 0, STREAM_BLOCK), b"")), SimpleQueue[bytes]()
    order = parse_json(job.order, next(lines))
    threading.Thread(target=_read_on, args=(lines, replies), daemon=True).start()
    run_job_function(_load(module, function), order, replies)
    return 0


def _read_on(lines: Iterator[bytes], replies: "SimpleQueue[bytes]") -> None:
    for line in lines:
        replies.put(line)
    os._exit(1)


def _load(module: str, function: str) -> JobFunction[Any, Any]:
    """By name, so that what one job needs (the hub's client) is no import of the agent's."""
    job: JobFunction[Any, Any] = getattr(importlib.import_module(module), function)
    return job
