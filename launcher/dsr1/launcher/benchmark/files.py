"""Workload files: traces of Mooncake's form, and datasets of prompts. A line that can't be used is
named with its file and number."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from dsr1.hosts.errors import InputError
from dsr1.hosts.protocol.bounded import parse_bounded
from dsr1.launcher.benchmark.workload import (
    DATASET,
    MOST_REQUESTS,
    TRACE,
    FileRequest,
    WorkloadFile,
)

BLOCK = 512  # tokens that a hash id of Mooncake's stands for
MOST_BYTES = 256 << 20
Plain = dict[str, object]


def read_workload_file(kind: str, path: str) -> WorkloadFile:
    """InputError names the line."""
    parse = {TRACE: _traced, DATASET: _prompted}[kind]
    requests = tuple(_lines(path, parse))
    if not requests:
        raise InputError(f"{path}: has no requests; a {kind} has one on each line, as JSON")
    if kind == TRACE:
        requests = _from_zero(requests)
    return WorkloadFile(kind, path, requests)


def _from_zero(requests: tuple[FileRequest, ...]) -> tuple[FileRequest, ...]:
    """In the order of their times, the first at 0."""
    ordered = sorted(requests, key=lambda one: one.at_s)
    first = ordered[0].at_s
    return tuple(
        FileRequest(one.line, one.isl, one.osl, one.at_s - first, one.hash_ids) for one in ordered
    )


def _lines(path: str, parse: Callable[[int, Plain], FileRequest]) -> Iterator[FileRequest]:
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        if number > MOST_REQUESTS:
            raise InputError(f"{path}: has more than {MOST_REQUESTS} lines")
        try:
            plain = parse_bounded(line)
            if not isinstance(plain, dict):
                raise ValueError("an object is wanted")
            yield parse(number, plain)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}:{number}: {error}") from None


def _text(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}") from None
    if len(data) > MOST_BYTES:
        raise InputError(f"{path}: is larger than {MOST_BYTES >> 20} MiB")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(f"{path}:{line}: isn't UTF-8 text") from None


def _traced(line: int, plain: Plain) -> FileRequest:
    """Times are in milliseconds."""
    ids = plain.get("hash_ids", [])
    if not isinstance(ids, list) or not all(type(one) is int for one in ids):
        raise ValueError("hash_ids: a list of whole numbers is wanted")
    isl = _count(plain, "input_length")
    if ids and not (len(ids) - 1) * BLOCK < isl <= len(ids) * BLOCK:
        raise ValueError(f"hash_ids: {len(ids)} blocks of {BLOCK} tokens can't make {isl} tokens")
    return FileRequest(
        line, isl, _count(plain, "output_length"), _time(plain) / 1000, tuple(map(int, ids))
    )


def _time(plain: Plain) -> float:
    value = plain.get("timestamp")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e13:
        raise ValueError(f"timestamp: milliseconds are wanted, not {_show(value)}")
    return float(value)


def _count(plain: Plain, key: str) -> int:
    value = plain.get(key)
    if type(value) is not int or not 1 <= value < 10**8:
        raise ValueError(f"{key}: tokens are wanted, a whole number above 0, not {_show(value)}")
    return value


def _prompted(line: int, plain: Plain) -> FileRequest:
    prompt = plain.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError(f"prompt: text is wanted, not {_show(prompt)}")
    osl = _count(plain, "output_tokens") if "output_tokens" in plain else 0
    return FileRequest(line, osl=osl, prompt=prompt)


def _show(value: object) -> str:
    return "nothing" if value is None else json.dumps(value)[:60]


def refuse_unbounded(file: WorkloadFile, osl: int) -> None:
    """InputError: nobody says how long an answer of a dataset's may get."""
    lacking = next((one for one in file.requests if not one.osl), None)
    if file.kind == DATASET and not osl and lacking:
        raise InputError(
            f"{file.path}:{lacking.line}: has no output_tokens; add them, or give --osl for all"
        )


def render_trace(requests: tuple[FileRequest, ...]) -> str:
    """As both drivers read it. A request without hash ids gets some of its own: vLLM's driver would
    send an empty prompt."""
    lines = []
    own = 1 + max((one for request in requests for one in request.hash_ids), default=0)
    for one in requests:
        blocks = -(-one.isl // BLOCK)
        ids = one.hash_ids or tuple(range(own, own + blocks))
        own += 0 if one.hash_ids else blocks
        plain = {
            "timestamp": round(one.at_s * 1000, 3),
            "input_length": one.isl,
            "output_length": one.osl,
            "hash_ids": list(ids),
        }
        lines.append(json.dumps(plain))
    return "\n".join(lines) + "\n"


def render_dataset(requests: tuple[FileRequest, ...], osl: int, keys: tuple[str, str]) -> str:
    """`keys`: what a driver calls a prompt and the length of its answer."""
    lines = [json.dumps({keys[0]: one.prompt, keys[1]: osl or one.osl}) for one in requests]
    return "\n".join(lines) + "\n"
