"""Bounds a process's log without losing a line of it: its older part is copied to a file beside it,
and then its blocks are freed where they lie.

The process writes on at the end of its one file and knows nothing of this, and a follower's offset
stays right: the file is as long as everything that was ever written, and its beginning is a hole.
"""

import ctypes
import os
from pathlib import Path

from dsr1.hosts.protocol.log_lines import kept_parts, part_path

KEEP_SIZE_AND_PUNCH_HOLE = 3  # fallocate(2)
PIECE, STAYS, LONGEST_LINE = 4 << 20, 1 << 20, 1 << 16


class LogRotation:
    """Of one log: when more than `most` bytes are in it all but the last MiB goes to a part of its
    own; `keep` parts are kept. `step` moves a piece at most, so that it can be called in a loop."""

    def __init__(self, path: Path, most: int, keep: int) -> None:
        self._path, self._most, self._keep = path, most, keep
        self._start = max((part.end for part in kept_parts(path)), default=0)
        self._moved = self._until = self._start
        self._possible = True

    def step(self) -> bool:
        """Whether there is more to move now. OSError: it can't be, for now or ever."""
        if not self._possible:
            return False
        if self._until == self._start:
            self._begin()
        if self._until > self._start:
            self._move_piece()
        return self._until > self._start

    def _begin(self) -> None:
        size = self._path.stat().st_size
        if size < self._start:  # somebody has truncated it
            self._start = self._moved = self._until = 0
        if size - self._start > self._most:
            self._until = self._end_of_line(size - min(STAYS, self._most // 2))

    def _end_of_line(self, before: int) -> int:
        """The last one there, if lines aren't endless."""
        begin = max(self._start, before - LONGEST_LINE)
        with self._path.open("rb") as log:
            log.seek(begin)
            found = log.read(before - begin).rfind(b"\n")
        return before if found < 0 else begin + found + 1

    def _move_piece(self) -> None:
        part = part_path(self._path, self._start)
        with self._path.open("rb") as log, part.open("ab") as kept:
            part.chmod(0o600)
            log.seek(self._moved)
            data = log.read(min(PIECE, self._until - self._moved))
            kept.write(data)
        self._moved += len(data)
        if self._moved >= self._until or not data:
            self._free()

    def _free(self) -> None:
        """The part is whole; from now on it is read from there."""
        handle = os.open(self._path, os.O_WRONLY)
        try:
            self._punch(handle, self._start, self._moved - self._start)
        finally:
            os.close(handle)
        self._start = self._until = self._moved
        for part in kept_parts(self._path)[: -self._keep]:
            part.path.unlink(missing_ok=True)

    def _punch(self, handle: int, offset: int, length: int) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        begin, span = ctypes.c_int64(offset), ctypes.c_int64(length)
        if libc.fallocate64(handle, KEEP_SIZE_AND_PUNCH_HOLE, begin, span):
            self._possible = False
            part_path(self._path, offset).unlink(missing_ok=True)
            number = ctypes.get_errno()
            raise OSError(number, f"{os.strerror(number)}: its size can't be bounded")
