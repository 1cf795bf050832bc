"""A run's logs with their process's name, to the end or followed; never more than two blocks in
memory.

Text is whole lines, many at once: a line at a time, a fast log costs more to carry than to write.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

BLOCK, STREAM_BLOCK, POLL_S = 1 << 18, 1 << 16, 0.2


def split_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Without their ends; a last line without an end was cut short, and is no line."""
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        yield from lines


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
        with self._file.open("rb") as opened:
            opened.seek(self._offset)
            data = opened.read(BLOCK)
        self._offset += len(data)
        return data


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
