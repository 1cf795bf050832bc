"""The agent's events: kept to be replayed, bounded, and written down as far as the disk allows."""

import contextlib
import os
import time
from pathlib import Path

from dsr1.hosts.protocol.codec import NumberedEvent, parse_event, render_event
from dsr1.hosts.protocol.events import Event, Progress

# A rank reports each phase under one key, so this is for hundreds of ranks; beyond it the oldest
# progress is forgotten.
MOST_PROGRESS = 4096
LAST_BYTES = 1 << 18


class EventJournal:
    """Only the newest Progress of a process, phase and rank is kept, so memory doesn't grow with
    time."""

    def __init__(self, host: str, path: Path) -> None:
        self._host = host
        self._events: dict[int, NumberedEvent] = {}
        self._progress: dict[tuple[str, str, int | None], int] = {}
        self._last = 0
        self._file = _open(path)
        self._torn = False

    def add(self, event: Event) -> None:
        self._last += 1
        numbered = NumberedEvent(self._last, time.time(), self._host, event)
        if isinstance(event, Progress):
            self._replace_progress(event, self._last)
        self._events[self._last] = numbered
        self._write(render_event(numbered))

    def reopen(self, path: Path) -> None:
        """Of a file that vanished: with all that is kept in memory."""
        if path.exists():
            return
        os.close(self._file)
        self._file = _open(path)
        for numbered in self._events.values():
            self._write(render_event(numbered))

    def after(self, since: int, most: int) -> list[NumberedEvent]:
        """At most `most` events, oldest first. Reads back from the newest: a follower is almost
        always at the end."""
        newer: list[NumberedEvent] = []
        for seq in reversed(self._events):
            if seq <= since:
                break
            newer.append(self._events[seq])
        return newer[::-1][:most]

    def _replace_progress(self, event: Progress, seq: int) -> None:
        key = (event.process, event.phase, event.rank)
        self._events.pop(self._progress.pop(key, 0), None)
        self._progress[key] = seq
        if len(self._progress) > MOST_PROGRESS:
            oldest = next(iter(self._progress))
            self._events.pop(self._progress.pop(oldest), None)

    def _write(self, line: bytes) -> None:
        """A full disk costs the file some lines, and the agent nothing."""
        data = b"\n" + line if self._torn else line
        try:
            self._torn = os.write(self._file, data) < len(data)
        except OSError:
            self._torn = True


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def _open_to_read(path: Path) -> int:
    """Without a wait: a FIFO may have been put there."""
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


def read_last_number(path: Path) -> int:
    """Of the last whole event that is written there; 0: none is."""
    with contextlib.suppress(OSError), os.fdopen(_open_to_read(path), "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_BYTES))
        for line in reversed(file.read().splitlines()):
            with contextlib.suppress(ValueError):
                return parse_event(line).seq
    return 0
