"""Finds the lines of a process's log that tell why it failed: the same code on a host and on a
folder of logs.

A log may have gigabytes: at most HEAD bytes of its beginning and TAIL of its end are read. Within
them a line that differs from another in its digits alone is looked at once (a busy log has a few
hundred kinds of lines), those of level INFO not at all, and only lines with one of a few literals
meet the patterns.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

HEAD, TAIL = 4 << 20, 28 << 20
LONGEST_LINE = 4000
HITS_OF_A_PATTERN = 12
OF_A_KIND = 64  # lines looked at, of those that differ in digits alone: an echo may fill a log
DIGITS = b"0123456789"
UNTOLD, AN_END = b"INFO", b"[shutdown]"  # of INFO alone vLLM's words on its own end matter
MARKERS = (
    "rror",  # Error, error
    "ERROR",
    "FATAL",
    "Fatal",
    "CRITICAL",
    "Exception",
    "xception:",
    "died",
    "illed",
    "signal",
    "exit code",
    "Xid",
    "imeout",
    "imed out",
    "refused",
    "No space",
    "ailed",
    "annot ",
    "can't ",
    "dump",
    "fault",
)


@dataclass(frozen=True, slots=True)
class LogPattern:
    """`anchor` is a literal that every line of it has; `regex`, where given, must be found in the
    line too."""

    id: str
    anchor: str
    regex: str = ""


@dataclass(frozen=True, slots=True)
class LogHit:
    """`line` counts from 1 (from the window's begin where the log's middle was left out, and is
    then 0)."""

    pattern: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class LogScan:
    """`read` of `size` bytes were looked at."""

    path: str
    size: int
    read: int
    hits: tuple[LogHit, ...]


def scan_log(path: Path, patterns: Sequence[LogPattern]) -> LogScan:
    """Hits come in the order of the lines; of each pattern the first ones. OSError: the log can't
    be read."""
    compiled, markers = _compiled(patterns), _markers(patterns)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        windows = _windows(size)
        hits = [hit for begin, end in windows for hit in _hits(file, begin, end, compiled, markers)]
    read = sum(end - begin for begin, end in windows)
    return LogScan(str(path), size, read, tuple(_first_of_each(hits)))


def _windows(size: int) -> tuple[tuple[int, int], ...]:
    if size <= HEAD + TAIL:
        return ((0, size),)
    return ((0, HEAD), (size - TAIL, size))


Compiled = tuple[tuple[str, bytes, "re.Pattern[bytes] | None"], ...]


def _compiled(patterns: Iterable[LogPattern]) -> Compiled:
    return tuple(
        (one.id, one.anchor.encode(), re.compile(one.regex.encode()) if one.regex else None)
        for one in patterns
    )


def _markers(patterns: Iterable[LogPattern]) -> tuple[bytes, ...]:
    """An anchor that holds none of the common markers is one itself."""
    anchors = (one.anchor for one in patterns)
    own = {anchor for anchor in anchors if not any(marker in anchor for marker in MARKERS)}
    return tuple(marker.encode() for marker in (*MARKERS, *sorted(own)))


def _hits(
    file: BinaryIO, begin: int, end: int, patterns: Compiled, markers: Sequence[bytes]
) -> Iterator[LogHit]:
    file.seek(begin)
    data = file.read(end - begin)
    numbers = _marked_lines(data, markers)
    lines = data.split(b"\n") if numbers else []
    for number in numbers:
        line = _shown_part(lines[number])
        if name := _meaning(line, patterns):
            yield LogHit(name, 0 if begin else number + 1, line.decode(errors="replace"))


def _meaning(line: bytes, patterns: Compiled) -> str:
    for name, anchor, regex in patterns:
        if anchor in line and (regex is None or regex.search(line)):
            return name
    return ""


def _shown_part(line: bytes) -> bytes:
    """Of a progress bar, which draws over itself, the last state. Where a log's beginning was moved
    elsewhere its file has zeros."""
    line = line.lstrip(b"\0")
    return (line.rstrip(b"\r").rpartition(b"\r")[2] or line)[:LONGEST_LINE]


def _marked_lines(data: bytes, markers: Iterable[bytes]) -> list[int]:
    """Where lines with a marker stand, from 0, in their order; of each kind the first OF_A_KIND."""
    kinds = data.translate(None, DIGITS).split(b"\n")
    marked = _marked_kinds(set(kinds), markers)
    if not marked:
        return []
    left = dict.fromkeys(marked, OF_A_KIND)
    found = []
    for number in [number for number, kind in enumerate(kinds) if kind in marked]:
        if left[kinds[number]]:
            left[kinds[number]] -= 1
            found.append(number)
    return found


def _marked_kinds(kinds: Iterable[bytes], markers: Iterable[bytes]) -> set[bytes]:
    told = [kind for kind in kinds if UNTOLD not in kind or AN_END in kind]
    text = b"\n".join(told)
    wanted = {marker.translate(None, DIGITS) for marker in markers}
    return {line for marker in wanted for line in _lines_with(text, marker)}


def _lines_with(text: bytes, marker: bytes) -> Iterator[bytes]:
    at = text.find(marker)
    while at >= 0:
        end = text.find(b"\n", at)
        end = len(text) if end < 0 else end
        yield text[text.rfind(b"\n", 0, at) + 1 : end]
        at = text.find(marker, end)


def _first_of_each(hits: Iterable[LogHit]) -> Iterator[LogHit]:
    count: dict[str, int] = {}
    for hit in hits:
        count[hit.pattern] = count.get(hit.pattern, 0) + 1
        if count[hit.pattern] <= HITS_OF_A_PATTERN:
            yield hit
