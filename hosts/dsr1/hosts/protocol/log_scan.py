"""Finds the lines of a process's log that tell why it failed: the same code on a host and on a
folder of logs.

A log may have gigabytes: at most WINDOW bytes of its beginning and of its end are read. Within them
a few literals pick out lines worth a second look (bytes.find passes a gigabyte a second), and only
those meet the patterns.
"""

import mmap
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

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
    """OSError: the log can't be read. Hits come in the order of the lines; of each pattern the
    first ones."""
    size = path.stat().st_size
    if not size:
        return LogScan(str(path), 0, 0, ())
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        windows = _windows(len(data))
        hits = tuple(_first_of_each(_hits(data, windows, _compiled(patterns))))
    return LogScan(str(path), size, sum(end - begin for begin, end in windows), hits)


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


def _hits(
    data: mmap.mmap, windows: Iterable[tuple[int, int]], patterns: Compiled
) -> Iterator[LogHit]:
    for begin, end in windows:
        number, counted_to = 1, begin
        for start, line in _marked_lines(data, begin, end):
            for name, anchor, regex in patterns:
                if anchor in line and (regex is None or regex.search(line)):
                    number += data[counted_to:start].count(b"\n")
                    counted_to = start
                    yield LogHit(name, 0 if begin else number, line.decode(errors="replace"))
                    break


def _marked_lines(data: mmap.mmap, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Lines that hold a marker, with where each begins, in their order."""
    starts = set()
    for marker in MARKERS:
        literal = marker.encode()
        at = data.find(literal, begin, end)
        while at >= 0:
            line_end = data.find(b"\n", at, end)
            starts.add(max(begin, data.rfind(b"\n", begin, at) + 1))
            at = data.find(literal, line_end, end) if line_end >= 0 else -1
    for start in _bounded(sorted(starts)):
        line_end = data.find(b"\n", start, end)
        yield start, data[start : min(end if line_end < 0 else line_end, start + LONGEST_LINE)]


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
