"""What processes are in the middle of: their Python stacks by py-spy, where the runtime or the host
has it, else the kernel's, which root alone may read."""

import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

DUMP_S, READ_S = 4.0, 0.2
MOST_FRAMES, MOST_THREADS, MOST_PROCESSES, LONGEST = 12, 3, 64, 200
Frames = tuple[str, ...]


def find_py_spy() -> str | None:
    """Of the runtime before the host's."""
    own = Path(sys.executable).with_name("py-spy")
    return str(own) if own.is_file() else shutil.which("py-spy")


def python_stacks(pids: Sequence[int], py_spy: str | None) -> dict[int, Frames]:
    """By pid, of those that gave one in time; innermost first. They are asked side by side, and not
    paused: one that hangs in the kernel would never stop for that."""
    if py_spy is None:
        return {}
    until = time.monotonic() + DUMP_S
    asked = {pid: _ask(py_spy, pid) for pid in pids[:MOST_PROCESSES]}
    answers = {pid: _answer(child, until) for pid, child in asked.items()}
    return {pid: stack for pid, text in answers.items() if (stack := parse_dump(text))}


def _ask(py_spy: str, pid: int) -> "subprocess.Popen[bytes]":
    command = (py_spy, "dump", "--nonblocking", "--json", "--pid", str(pid))
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def _answer(child: "subprocess.Popen[bytes]", until: float) -> bytes:
    try:
        return child.communicate(timeout=max(READ_S, until - time.monotonic()))[0]
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        return b""


def parse_dump(text: bytes) -> Frames:
    """Of py-spy's JSON the main thread, then those that run. Empty: it is none."""
    try:
        threads = sorted(json.loads(text), key=_rank)
    except (ValueError, TypeError, AttributeError):
        return ()
    shown = [one for one in threads[:MOST_THREADS] if _rank(one) < 2]
    return tuple(line for thread in shown for line in _lines(thread))


def _rank(thread: Mapping[str, object]) -> int:
    if thread.get("thread_name") == "MainThread":
        return 0
    return 1 if thread.get("active") else 2


def _lines(thread: Mapping[str, object]) -> Iterator[str]:
    frames = thread.get("frames")
    yield f"thread {thread.get('thread_name')}"
    for frame in (frames if isinstance(frames, list) else [])[:MOST_FRAMES]:
        line = f"{frame.get('name')} ({frame.get('short_filename')}:{frame.get('line')})"
        yield line[:LONGEST]


def kernel_stack(pid: int) -> Frames:
    """Innermost first; only root may read it."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/stack").read_text().splitlines()
        return tuple(line.partition("] ")[2] for line in lines[:MOST_FRAMES])
    return ()
