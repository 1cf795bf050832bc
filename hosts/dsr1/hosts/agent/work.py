"""Runs a job that takes long. It ends with whoever ordered it: the end of stdin is its end, at any
point.

What a job leaves behind then, the next one goes on with.
"""

import importlib
import json
import os
import threading
from collections.abc import Iterator
from queue import SimpleQueue

from dsr1.hosts.protocol.job import JobFunction, JobOrder, run_job_function

JOBS = {
    "fabric": ("dsr1.hosts.agent.network.fabric", "fabric_job"),
    "fetch": ("dsr1.hosts.hub.fetch", "fetch_model_job"),
    "push": ("dsr1.hosts.agent.model.push", "push_model_job"),
    "verify": ("dsr1.hosts.agent.model.verify", "verify_model_job"),
}


def work(name: str) -> int:
    """Orders are lines of stdin, so that no secret of theirs is in an argument. All it says goes to
    stdout."""
    os.dup2(1, 2)
    lines, further = _lines(), SimpleQueue[JobOrder]()
    order = json.loads(next(lines))
    threading.Thread(target=_read_on, args=(lines, further), daemon=True).start()
    return run_job_function(_job(name), order, further)


def _lines() -> Iterator[bytes]:
    """Unbuffered: a thread that waits in sys.stdin at its end kills the interpreter."""
    rest = b""
    while data := os.read(0, 1 << 16):
        *lines, rest = (rest + data).split(b"\n")
        yield from lines


def _read_on(lines: Iterator[bytes], further: "SimpleQueue[JobOrder]") -> None:
    for line in lines:
        further.put(json.loads(line))
    os._exit(1)


def _job(name: str) -> JobFunction:
    """Loaded by its name, so that what one job needs (the hub's client) is no import of the
    agent's."""
    if name not in JOBS:
        raise LookupError(f"no job is called {name!r}")
    module, function = JOBS[name]
    job: JobFunction = getattr(importlib.import_module(module), function)
    return job
