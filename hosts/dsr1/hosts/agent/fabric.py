"""The fabric's test on this host: a child for each device, all ended with the job, and what they told."""

import contextlib
import json
import os
import pkgutil
import signal
import subprocess
import tempfile
import time
from typing import IO, Any

from dsr1.hosts.model.job import Desk, Order

SOURCE, POLL_S = "fabric_rank.py", 0.05


def measure_fabric(order: Order, desk: Desk) -> dict[str, Any]:
    """`told` is every line of every child; `errors` are the last words of those that ended badly or were ended."""
    meter = desk.meter
    meter.total, meter.doing = int(order["hosts"]) - 1, "pairs"
    with contextlib.ExitStack() as stack:
        files = [(_file(stack), _file(stack)) for _ in range(int(order["locals"]))]
        meter.measure = lambda: sum(_lines(out) for out, _ in files) // len(files)
        ranks = [_begin(order, local, *pair) for local, pair in enumerate(files)]
        try:
            _wait(ranks, float(order["limit_s"]))
        finally:
            ended = [_end(rank) for rank in ranks]
        told = [json.loads(line) for out, _ in files for line in _read(out).splitlines() if line.startswith(b"{")]
        errors = [_why(rank, _read(err)) for rank, (_, err), good in zip(ranks, files, ended) if not good]  # noqa: B905
    return {"told": told, "errors": errors}


def _file(stack: contextlib.ExitStack) -> IO[bytes]:
    return stack.enter_context(tempfile.TemporaryFile())


def _begin(order: Order, local: int, out: IO[bytes], err: IO[bytes]) -> "subprocess.Popen[bytes]":
    """By its source, so that it needs nothing but torch."""
    asked = json.dumps({**{key: value for key, value in order.items() if key != "env"}, "local": local})
    argv = (*order["python"], "-c", _source(), asked)
    return subprocess.Popen(
        argv,
        env={**os.environ, **order["env"]},
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        start_new_session=True,
    )


def _source() -> str:
    """Also from within the bundle."""
    return (pkgutil.get_data("dsr1.hosts.agent", SOURCE) or b"").decode()


def _wait(ranks: "list[subprocess.Popen[bytes]]", limit_s: float) -> None:
    """Leaves them unreaped: until then their numbers can be nobody else's."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until and not all(_has_ended(rank) for rank in ranks):
        time.sleep(POLL_S)


def _has_ended(rank: "subprocess.Popen[bytes]") -> bool:
    return os.waitid(os.P_PID, rank.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def _end(rank: "subprocess.Popen[bytes]") -> bool:
    """Whether it had ended well by itself."""
    os.killpg(rank.pid, signal.SIGKILL)
    return rank.wait() == 0


def _why(rank: "subprocess.Popen[bytes]", err: bytes) -> str:
    if rank.returncode in (-signal.SIGKILL, -signal.SIGALRM):
        return "it did not end in time"
    return (err.decode(errors="replace").strip().splitlines() or [f"it ended with {rank.returncode}"])[-1]


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _lines(file: IO[bytes]) -> int:
    """Read apart from the file's own place, which is the child's."""
    return os.pread(file.fileno(), 1 << 20, 0).count(b"\n")
