"""Finds the lines of a process's log that tell why it failed: the same code on a host and on a
folder of logs.

A log may have gigabytes: at most WINDOW bytes of its beginning and of its end are read. Within them
a few literals pick out lines worth a second look (bytes.find passes a gigabyte a second), and only
those meet the patterns.
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
FIRST_LINES, LAST_LINES = 5_000, 15_000  # of those with a marker: an echo may fill a log with them
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
    number, counted_to = 1, 0
    for start, line in _marked_lines(data, markers):
        number += data.count(b"\n", counted_to, start)
        counted_to = start
        name = _meaning(line, patterns)
        if name:
            yield LogHit(name, 0 if begin else number, line.decode(errors="replace"))


def _meaning(line: bytes, patterns: Compiled) -> str:
    for name, anchor, regex in patterns:
        if anchor in line and (regex is None or regex.search(line)):
            return name
    return ""


def _marked_lines(data: bytes, markers: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines that hold a marker, with where each begins, in their order."""
    starts = {start for marker in markers for start in _starts(data, marker)}
    for start in _bounded(sorted(starts)):
        end = data.find(b"\n", start)
        yield start, data[start : min(len(data) if end < 0 else end, start + LONGEST_LINE)]


def _starts(data: bytes, marker: bytes) -> Iterator[int]:
    at = data.find(marker)
    while at >= 0:
        yield data.rfind(b"\n", 0, at) + 1
        end = data.find(b"\n", at)
        at = data.find(marker, end) if end >= 0 else -1


def _bounded(starts: list[int]) -> list[int]:
    if len(starts) <= FIRST_LINES + LAST_LINES:
        return starts
    return starts[:FIRST_LINES] + starts[-LAST_LINES:]


def _first_of_each(hits: Iterable[LogHit]) -> Iterator[LogHit]:
    count: dict[str, int] = {}
    for hit in hits:
        count[hit.pattern] = count.get(hit.pattern, 0) + 1
        if count[hit.pattern] <= HITS_OF_A_PATTERN:
            yield hit
