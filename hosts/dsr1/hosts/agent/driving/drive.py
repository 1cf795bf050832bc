"""Runs a load driver on this host, away from a run's processes, and reads what it measured."""

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from dsr1.hosts.agent.driving.cpus import choose_cpus
from dsr1.hosts.agent.driving.results import RESULTS, DriverResults
from dsr1.hosts.agent.network.ports import open_folder
from dsr1.hosts.agent.process.bounded_child import (
    BoundedChild,
    is_abandoned,
    start_bounded,
    wait_bounded,
)
from dsr1.hosts.protocol.identity import start_time
from dsr1.hosts.protocol.jobs.messages import JobContext, JobRefused
from dsr1.hosts.protocol.jobs.orders import (
    DRIVER_FOLDER,
    DriveOrder,
    DriveResult,
    SentRequests,
)

MOST_TAIL, LAST_WORDS = 1 << 16, 600
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def drive_job(order: DriveOrder, context: JobContext) -> DriveResult:
    """JobRefused: it measured nothing, in its own last words. It ends with whoever ordered it."""
    with own_folder(Path(f"/tmp/dsr1-{os.geteuid()}")) as folder:
        for name, text in order.files.items():
            (folder / Path(name).name).write_text(text)
        cpus = order.cpus or choose_cpus(order.run_id)
        _bind(cpus)
        results = RESULTS[order.driver](folder)
        argv = tuple(word.replace(DRIVER_FOLDER, str(folder)) for word in order.argv)
        with start_bounded(argv, _environment(order.env, folder)) as child:
            context.meter.total, context.meter.doing = order.total, "requests"
            context.meter.measure = lambda: results.count(_tail(child))
            over = wait_bounded([child], order.limit_s, is_abandoned)[0]
            context.meter.measure = None
            ended = _ended(child, over, order)
        return _read(results, cpus, ended)


def _bind(cpus: tuple[int, ...]) -> None:
    """This process, and so all that it starts. JobRefused: the host has no such CPU."""
    known = os.sched_getaffinity(0)
    if missing := sorted(set(cpus) - known):
        here = f"{min(known)} to {max(known)}"
        raise JobRefused("input", f"--cpus: there is no CPU {missing[0]}; there are {here}")
    if cpus:
        os.sched_setaffinity(0, cpus)


def _environment(env: Mapping[str, str], folder: Path) -> dict[str, str]:
    own = {name: value.replace(DRIVER_FOLDER, str(folder)) for name, value in env.items()}
    return {"PYTHONUNBUFFERED": "1", "HOME": os.environ.get("HOME", str(folder)), **own}


def _read(results: DriverResults, cpus: tuple[int, ...], ended: str) -> DriveResult:
    try:
        requests = results.read()
    except (OSError, ValueError, KeyError, TypeError) as error:
        words = ended or f"its results can't be read: {type(error).__name__}: {error}"
        raise JobRefused("work", words) from None
    if requests == SentRequests():
        raise JobRefused("work", ended or "it sent no request")
    return DriveResult(requests, cpus, results.began, ended)


def _ended(child: BoundedChild, over: bool, order: DriveOrder) -> str:
    """Empty: well."""
    if not over:
        return f"it was ended after {order.limit_s:g} s"
    code = child.process.returncode
    words = last_words(_tail(child))
    return f"it ended with {code}: {words}".rstrip(": ") if code else ""


def _tail(child: BoundedChild) -> str:
    """The ends of what it said. While it runs: read apart from the file's own place."""
    found = []
    for file in (child.out, child.err):
        size = os.fstat(file.fileno()).st_size
        found.append(os.pread(file.fileno(), MOST_TAIL, max(0, size - MOST_TAIL)))
    return b"\n".join(found).decode(errors="replace")


def last_words(text: str) -> str:
    """What it logs first as an error, which the others follow from; else the last error that it
    names, as of a traceback; else its last line. Without the frames of a terminal."""
    plain = _ESCAPES.sub("", text).replace("\r", "\n")
    lines = [line.strip(" \u2502\u256d\u2570\u2500\u256e\u256f\t") for line in plain.split("\n")]
    lines = [line for line in lines if line]
    if logged := [line for line in lines if re.search(r"\bERROR\b", line)]:
        return logged[0][:LAST_WORDS]
    errors = [line for line in lines if re.search(r"(Error|Exception|error):?\s", line)]
    return (errors or lines or ["it said nothing"])[-1][:LAST_WORDS]


@contextlib.contextmanager
def own_folder(base: Path) -> Iterator[Path]:
    """For this user alone. A job that was killed couldn't remove its own: the next one does."""
    os.close(open_folder(base))
    parent = base / "driving"
    os.close(open_folder(parent))
    for old in parent.iterdir():
        if not _lives(old.name):
            shutil.rmtree(old, ignore_errors=True)
    pid = os.getpid()
    folder = parent / f"{pid}.{start_time(pid) or 0:.0f}.{secrets.token_hex(3)}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _lives(name: str) -> bool:
    pid, _, rest = name.partition(".")
    if not pid.isdigit():
        return False
    began = start_time(int(pid))
    return began is not None and f"{began:.0f}" == rest.partition(".")[0]
