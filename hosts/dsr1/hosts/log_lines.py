"""A run's logs as lines with their process's name, to the end or followed; never more than one block in memory."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

BLOCK, POLL_S = 65536, 0.2


class LogFile:
    """One process's log, read from where the last read stopped. A line without its end waits for it, up to a block."""

    def __init__(self, file: Path) -> None:
        self.name = file.stem
        self._file = file
        self._offset = 0
        self._rest = b""

    def new_lines(self) -> Iterator[str]:
        """Whole lines written since the last call. Carriage returns, as progress bars write them, end lines too."""
        while data := self._read():
            *lines, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
            if len(self._rest) > BLOCK:
                lines, self._rest = [*lines, self._rest], b""
            yield from (line.decode(errors="replace") for line in lines if line.strip())

    def rest(self) -> Iterator[str]:
        """What never got an end."""
        if self._rest.strip():
            yield self._rest.decode(errors="replace")
        self._rest = b""

    def _read(self) -> bytes:
        with self._file.open("rb") as opened:
            opened.seek(self._offset)
            data = opened.read(BLOCK)
        self._offset += len(data)
        return data


def read_logs(folder: Path, follow: Callable[[], bool]) -> Iterator[tuple[str, str]]:
    """(process, line) of every log in `folder`/logs, as long as `follow` says so, and once more after."""
    files: dict[Path, LogFile] = {}
    while True:
        more = follow()
        for path in sorted((folder / "logs").glob("*.log")):
            log = files.setdefault(path, LogFile(path))
            yield from ((log.name, line) for line in log.new_lines())
        if not more:
            break
        time.sleep(POLL_S)
    for log in files.values():
        yield from ((log.name, line) for line in log.rest())
