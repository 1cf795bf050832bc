"""A run's logs with their process's name, to the end or followed; never more than two blocks in
memory.

Text is whole lines, many at once: a line at a time, a fast log costs more to carry than to write.
"""

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from dsr1.hosts.dataclass import dataclass

BLOCK, STREAM_BLOCK, POLL_S = 1 << 18, 1 << 16, 0.2


MOST_LINE = 16 << 20  # bytes


def split_lines(blocks: Iterable[bytes], most: int = MOST_LINE) -> Iterator[bytes]:
    """Without their ends; a last line without an end was cut short, and is no line. ValueError: a
    line is longer than `most` bytes."""
    line = bytearray()
    for block in blocks:
        first, *others = block.split(b"\n")
        line += first
        for other in others:
            yield bytes(line)
            line = bytearray(other)
        if len(line) > most:
            raise ValueError(f"a line without an end, after {len(line)} bytes")


@dataclass(frozen=True, slots=True)
class LogPart:
    """What lay in a log from `start` on, and is a file of its own now (agent/process/rotation)."""

    path: Path
    start: int

    @property
    def end(self) -> int:
        return self.start + self.path.stat().st_size


def part_path(log: Path, start: int) -> Path:
    return log.with_name(f"{log.stem}.from-{start}")


def kept_parts(log: Path) -> list[LogPart]:
    """The oldest first."""
    found = [
        LogPart(path, int(path.name.rpartition("-")[2]))
        for path in log.parent.glob(f"{log.stem}.from-*")
    ]
    return sorted(found, key=lambda part: part.start)


def next_data(handle: int, offset: int) -> int:
    """Where the next bytes are that aren't a hole."""
    try:
        return os.lseek(handle, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing behind it
            return offset
        raise


class LogFile:
    """One process's log, read from where the last read stopped. A line without its end waits for
    it, up to a block."""

    def __init__(self, file: Path) -> None:
        self.name = file.stem
        self._file = file
        self._offset = 0
        self._rest = b""

    def new_text(self) -> Iterator[str]:
        """Whole lines written since the last call. Carriage returns, as progress bars write them,
        end lines too."""
        while data := self._read():
            whole, end, self._rest = (self._rest + data).replace(b"\r", b"\n").rpartition(b"\n")
            if len(self._rest) > BLOCK:
                whole, self._rest = whole + end + self._rest, b""
            yield from _without_blank_lines(whole)

    def rest(self) -> Iterator[str]:
        """What never got an end."""
        rest, self._rest = self._rest, b""
        yield from _without_blank_lines(rest)

    def _read(self) -> bytes:
        """What was moved out of the log is read from where it is kept; what isn't kept is passed
        over. The zeros before the log's first byte are the rest of a hole's last block."""
        with self._file.open("rb") as opened:
            while data := os.pread(opened.fileno(), BLOCK, self._offset):
                if b"\0" not in data or os.pread(opened.fileno(), 1, self._offset) != b"\0":
                    self._offset += len(data)
                    return data
                if kept := self._read_kept():
                    return kept
                self._pass_over(opened.fileno(), data)
        return b""

    def _pass_over(self, handle: int, data: bytes) -> None:
        zeros = len(data) - len(data.lstrip(b"\0"))
        self._offset = max(self._offset + zeros, next_data(handle, self._offset))

    def _read_kept(self) -> bytes:
        for part in kept_parts(self._file):
            try:
                end = part.end
                if end <= self._offset:
                    continue
                self._offset = max(self._offset, part.start)
                with part.path.open("rb") as opened:
                    opened.seek(self._offset - part.start)
                    data = opened.read(BLOCK)
            except FileNotFoundError:
                continue
            self._offset += len(data)
            return data
        return b""


def _without_blank_lines(text: bytes) -> Iterator[str]:
    if lines := [line for line in text.decode(errors="replace").split("\n") if line.strip()]:
        yield "\n".join(lines)


def read_logs(folder: Path, follow: Callable[[], bool]) -> Iterator[tuple[str, str]]:
    """(process, text) of every log in `folder`/logs, as long as `follow` says so, and once more
    after."""
    files: dict[Path, LogFile] = {}
    while True:
        more = follow()
        for path in sorted((folder / "logs").glob("*.log")):
            log = files.setdefault(path, LogFile(path))
            yield from ((log.name, text) for text in log.new_text())
        if not more:
            break
        time.sleep(POLL_S)
    for log in files.values():
        yield from ((log.name, text) for text in log.rest())
