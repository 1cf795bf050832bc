"""How far each rank has come in its collectives: what torch's flight recorder has written, where it
is on (TORCH_FR_BUFFER_SIZE with TORCH_NCCL_DUMP_ON_TIMEOUT, or a pipe to ask it by).

The files are pickles of plain values. Only those of our own user are read, and nothing in them is
ever called.
"""

import contextlib
import io
import os
import pickle
import time
from collections.abc import Iterable, Iterator, Mapping
from glob import escape
from pathlib import Path
from typing import Any, NoReturn

from dsr1.hosts.protocol.evidence import CollectiveState

PREFIXES = ("TORCH_FR_DUMP_TEMP_FILE", "TORCH_NCCL_DEBUG_INFO_TEMP_FILE")
PIPES = "TORCH_NCCL_DEBUG_INFO_PIPE_FILE"
OLD_PREFIX = "/tmp/nccl_trace_rank_"  # torch before 2.8
MOST_FILES, MOST_BYTES, DUMP_S, POLL_S = 64, 32 << 20, 1.0, 0.05


class _PlainUnpickler(pickle.Unpickler):
    """Numbers, text, lists and dictionaries alone."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"{module}.{name} is no plain value")


def read_collectives(
    environments: Iterable[Mapping[str, str]], since: float, ask: bool
) -> tuple[CollectiveState, ...]:
    """`environments`: of the main processes. Files written before `since`, in seconds since the
    epoch, are of another failure. `ask`: those that have a pipe are told to write now."""
    listed = list(environments)
    prefixes = {prefix for one in listed for prefix in _prefixes(one)}
    pipes = {one[PIPES] for one in listed if one.get(PIPES)} if ask else set()
    if sum(_ask(Path(prefix)) for prefix in pipes):
        _await_files(prefixes, time.time())
    files = [file for prefix in sorted(prefixes) for file in _files(prefix, since)]
    return tuple(state for file in files[:MOST_FILES] for state in _read(file))


def _prefixes(environment: Mapping[str, str]) -> Iterator[str]:
    """In which order torch looks: include/torch/csrc/distributed/c10d/FlightRecorder.cpp."""
    named = next((environment[name] for name in PREFIXES if environment.get(name)), "")
    home = environment.get("HOME", "/tmp")
    cache = environment.get("XDG_CACHE_HOME") or f"{home}/.cache"
    yield named or f"{cache}/torch/comm_lib_trace_rank_"
    if not named:
        yield OLD_PREFIX


def _ask(prefix: Path) -> bool:
    """Whether anybody listens at one of the pipes."""
    asked = False
    for pipe in prefix.parent.glob(f"{escape(prefix.name)}*.pipe"):
        with contextlib.suppress(OSError):
            handle = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            asked = os.write(handle, b"1") > 0
            os.close(handle)
    return asked


def _await_files(prefixes: Iterable[str], asked: float) -> None:
    until = time.monotonic() + DUMP_S
    while time.monotonic() < until:
        if any(_files(prefix, asked) for prefix in prefixes):
            return
        time.sleep(POLL_S)


def _files(prefix: str, since: float) -> list[Path]:
    """Each with its rank as its ending."""
    path = Path(prefix)
    there = path.parent.glob(f"{escape(path.name)}*")
    return sorted(file for file in there if _is_ours(file, prefix, since))


def _is_ours(file: Path, prefix: str, since: float) -> bool:
    rank = str(file)[len(prefix) :]
    with contextlib.suppress(OSError):
        seen = file.lstat()
        fresh = seen.st_mtime >= since and seen.st_size <= MOST_BYTES
        return rank.isdigit() and fresh and seen.st_uid == os.getuid() and file.is_file()
    return False


def _read(file: Path) -> Iterator[CollectiveState]:
    rank = int(file.name[len(file.name.rstrip("0123456789")) :])
    try:
        dump = _PlainUnpickler(io.BytesIO(file.read_bytes())).load()
        yield from _states(rank, dump, str(file))
    except Exception:  # noqa: BLE001 - it may be half written; pickle raises anything
        return


def _states(rank: int, dump: Any, file: str) -> Iterator[CollectiveState]:
    last = {str(one["pg_id"]): one for one in dump["entries"]}
    for group, status in dump["pg_status"].items():
        entry = last.get(str(group), {})
        numbers = (status["last_enqueued_collective"], status["last_completed_collective"])
        name = str(entry.get("profiling_name", ""))
        yield CollectiveState(rank, str(group), int(numbers[0]), int(numbers[1]), name, file)
