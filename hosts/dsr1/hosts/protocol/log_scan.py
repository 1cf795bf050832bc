"""Finds the lines of a process's log that tell why it failed: the same code on a host and on a
folder of logs.

A log may have gigabytes: at most HEAD bytes of its beginning and TAIL of its end are read. They are
gone through in pieces. One whose lines are all of level INFO is passed over, which takes a tenth of
the time of looking at it. In the others a line that differs from another in its digits alone is
looked at once (a busy log has a few hundred kinds of lines), and only lines with one of a few
literals meet the patterns.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from dsr1.hosts.dataclass import dataclass

HEAD, TAIL, PIECE = 4 << 20, 28 << 20, 128 << 10
MOST_KINDS = 50_000  # remembered
LONGEST_LINE = 4000
HITS_OF_A_PATTERN = 12
OF_A_KIND = 64  # lines looked at, of those that differ in digits alone: an echo may fill a log
DIGITS = b"0123456789"
UNTOLD = b" INFO "
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


UNREAD = LogScan("", 0, 0, ())


def scan_log(path: Path, patterns: Sequence[LogPattern]) -> LogScan:
    """Hits come in the order of the lines; of each pattern the first ones. OSError: the log can't
    be read."""
    scanner = _Scanner(patterns)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        windows = _windows(size)
        hits = [hit for begin, end in windows for hit in scanner.hits(file, begin, end)]
    read = sum(end - begin for begin, end in windows)
    return LogScan(str(path), size, read, tuple(_first_of_each(hits)))


def _windows(size: int) -> tuple[tuple[int, int], ...]:
    if size <= HEAD + TAIL:
        return ((0, size),)
    return ((0, HEAD), (size - TAIL, size))


class _Scanner:
    """Of one log: what it has seen of one kind of lines it doesn't look at again."""

    def __init__(self, patterns: Sequence[LogPattern]) -> None:
        self._patterns = [
            (one.id, one.anchor.encode(), re.compile(one.regex.encode()) if one.regex else None)
            for one in patterns
        ]
        self._markers = {marker.translate(None, DIGITS) for marker in _markers(patterns)}
        self._left: dict[bytes, int] = {}  # by kind: how many more are looked at

    def hits(self, file: BinaryIO, begin: int, end: int) -> Iterator[LogHit]:
        number = 0
        for piece in _pieces(file, begin, end):
            lines = piece.count(b"\n")
            if not _is_quiet(piece, lines):
                for at, line in self._marked_lines(piece):
                    if name := self._meaning(line := _shown_part(line)):
                        text = line.decode(errors="replace")
                        yield LogHit(name, 0 if begin else number + at + 1, text)
            number += lines

    def _marked_lines(self, piece: bytes) -> Iterator[tuple[int, bytes]]:
        """With where they stand, from 0; of each kind the first OF_A_KIND."""
        kinds = piece.translate(None, DIGITS).split(b"\n")
        self._learn(set(kinds))
        places = [at for at, kind in enumerate(kinds) if self._left[kind]]
        lines = piece.split(b"\n") if places else []
        for at in places:
            if self._left[kinds[at]]:
                self._left[kinds[at]] -= 1
                yield at, lines[at]

    def _learn(self, kinds: set[bytes]) -> None:
        if len(self._left) > MOST_KINDS:
            self._left.clear()
        new = [kind for kind in kinds if kind not in self._left]
        self._left.update(dict.fromkeys(new, 0))
        text = b"\n".join(kind for kind in new if UNTOLD not in kind)
        marked = (line for marker in self._markers for line in _lines_with(text, marker))
        self._left.update(dict.fromkeys(marked, OF_A_KIND))

    def _meaning(self, line: bytes) -> str:
        for name, anchor, regex in self._patterns:
            if anchor in line and (regex is None or regex.search(line)):
                return name
        return ""


def _pieces(file: BinaryIO, begin: int, end: int) -> Iterator[bytes]:
    """Of whole lines, if those aren't endless."""
    file.seek(begin)
    while begin < end and (piece := file.read(min(PIECE, end - begin))):
        piece += file.readline(min(LONGEST_LINE, end - begin - len(piece)))
        begin += len(piece)
        yield piece


def _is_quiet(piece: bytes, lines: int) -> bool:
    """Whether each line has a level, and that is INFO."""
    return lines == piece.count(UNTOLD)


def _markers(patterns: Iterable[LogPattern]) -> tuple[bytes, ...]:
    """An anchor that holds none of the common markers is one itself."""
    anchors = (one.anchor for one in patterns)
    own = {anchor for anchor in anchors if not any(marker in anchor for marker in MARKERS)}
    return tuple(marker.encode() for marker in (*MARKERS, *sorted(own)))


def _shown_part(line: bytes) -> bytes:
    """Of a progress bar, which draws over itself, the last state. Where a log's beginning was moved
    elsewhere its file has zeros."""
    line = line.lstrip(b"\0")
    return (line.rstrip(b"\r").rpartition(b"\r")[2] or line)[:LONGEST_LINE]


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
