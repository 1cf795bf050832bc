"""Reads a process's log in small pieces: its progress while it starts, its last lines when it has
ended."""

import os
import re
import time
from pathlib import Path

from dsr1.hosts.agent.process.progress import ProgressReader, ProgressStep
from dsr1.hosts.protocol.events import Progress
from dsr1.hosts.protocol.process import Process

PIECE = 1 << 20
# A log that grows faster than we read is caught up with, at the price of some counters.
MOST_BEHIND = 16 * PIECE
TAIL_BYTES, TAIL_LINES, TAIL_WIDTH = 64 << 10, 20, 500


def read_tail(path: Path) -> tuple[str, ...]:
    """The last lines; a progress bar's carriage returns separate lines too."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            text = file.read(TAIL_BYTES).lstrip(b"\0").decode(errors="replace")
    except OSError:
        return ()
    lines = [line for line in re.split(r"[\r\n]+", text) if line.strip()]
    return tuple(line[:TAIL_WIDTH] for line in lines[-TAIL_LINES:])


def log_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


class ProgressThrottle:
    """Thins the steps of one process: a phase's first and last value at once, its counter at most
    once a second."""

    def __init__(self, process: str) -> None:
        self._process = process
        self._phase: dict[int | None, str] = {}
        self._told: dict[int | None, float] = {}
        self._held: dict[int | None, Progress] = {}

    def thin(self, steps: list[ProgressStep], now: float) -> list[Progress]:
        """Whatever the log holds, at most one event for a phase and rank."""
        told: dict[tuple[str, int | None], Progress] = {}
        for step in steps:
            for progress in self._take(step, now):
                told.pop((progress.phase, progress.rank), None)
                told[progress.phase, progress.rank] = progress
        return list(told.values())

    def flush(self, now: float, wait: float = 1.0) -> list[Progress]:
        """The held values that are due."""
        due = [rank for rank in self._held if now - self._told[rank] >= wait]
        self._told.update(dict.fromkeys(due, now))
        return [self._held.pop(rank) for rank in due]

    def _take(self, step: ProgressStep, now: float) -> list[Progress]:
        new = Progress(self._process, step.phase, step.rank, step.done, step.total)
        held = self._held.pop(step.rank, None)
        if self._phase.get(step.rank) != step.phase:
            self._phase[step.rank], self._told[step.rank] = step.phase, now
            return [held, new] if held else [new]
        if step.done is not None:
            self._held[step.rank] = new
        elif held:
            self._held[step.rank] = held
        return []


class LogFollower:
    """Follows one log from where it stands now."""

    def __init__(self, process: Process, path: Path) -> None:
        self._path = path
        self._offset = log_size(path)
        self._reader = ProgressReader(process.phases)
        self._pace = ProgressThrottle(process.name)

    def read(self, *, last: bool = False) -> list[Progress]:
        """What is new, one piece at most. `last`: nothing is held back."""
        now = time.monotonic()
        data = self._read_piece()
        told = self._pace.thin(self._reader.feed(data), now) if data else []
        return told + self._pace.flush(now, 0.0 if last else 1.0)

    def _read_piece(self) -> bytes:
        size = log_size(self._path)
        if size - self._offset > MOST_BEHIND:
            self._offset = size - PIECE
        if size <= self._offset:
            return b""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(PIECE)
        except OSError:
            return b""
        self._offset += len(data)
        return data
