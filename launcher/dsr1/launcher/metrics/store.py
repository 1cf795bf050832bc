"""A run's snapshots, in one file of SQLite's: the standard library has it, one process writes
while others read, and old snapshots make room for new ones in place, which parquet can't.

All counters are kept as they are, so that leaving snapshots out only makes the past coarser. The
older, the fewer: see LEVELS. 128 ranks and GPUs take some 15 kB a snapshot, so that a month is
kept in 20 MB.
"""

import contextlib
import sqlite3
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from dsr1.hosts.protocol.bounded import NONSENSE
from dsr1.hosts.protocol.plain import parse_json, to_json
from dsr1.launcher.metrics.samples import Snapshot

FILE = "metrics.sqlite"
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
LEVELS = (
    (0.0, 15 * MINUTE),
    (MINUTE, 4 * HOUR),
    (10 * MINUTE, 2 * DAY),
    (HOUR, 30 * DAY),
    (DAY, float("inf")),
)
"""One snapshot in so many seconds is kept for so many seconds."""
WAIT_S = 2.0  # for another process that reads or writes
_TABLE = (
    "CREATE TABLE IF NOT EXISTS snapshots"
    " (id INTEGER PRIMARY KEY, time REAL NOT NULL, level INTEGER NOT NULL, data BLOB NOT NULL)"
)


_A_TIME = "typeof(time) = 'real' AND abs(time) < 1e12"
MOST_BYTES = 64 << 20
"""Of a snapshot, unpacked."""
LIVE = 60
"""Snapshots that a live view keeps."""


def _unpacked(data: bytes) -> bytes:
    """ValueError: it is larger than any snapshot."""
    reader = zlib.decompressobj()
    text = reader.decompress(data, MOST_BYTES)
    if not reader.eof:
        raise ValueError(f"more than {MOST_BYTES} bytes, or cut short")
    return text


def add_snapshot(folder: Path, snapshot: Snapshot) -> None:
    """sqlite3.Error, OSError: it can't be kept. A file that is broken is begun anew."""
    try:
        _add(folder / FILE, snapshot)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):  # it is full, or busy
            raise
        (folder / FILE).unlink()
        _add(folder / FILE, snapshot)


def _add(file: Path, snapshot: Snapshot) -> None:
    """Without waiting for the disk: after a power cut the file may be begun anew, no more."""
    data = zlib.compress(to_json(snapshot))
    with contextlib.closing(sqlite3.connect(file, timeout=WAIT_S)) as store, store:
        store.execute("PRAGMA synchronous = OFF")
        store.execute(_TABLE)
        row = (snapshot.time, _level(store, snapshot.time), data)
        store.execute("INSERT INTO snapshots (time, level, data) VALUES (?, ?, ?)", row)
        for level, (_, kept_s) in enumerate(LEVELS[:-1]):
            old = (level, snapshot.time - kept_s)
            store.execute("DELETE FROM snapshots WHERE level = ? AND time < ?", old)


def _level(store: sqlite3.Connection, time: float) -> int:
    """The first of an hour is kept as such, that of a minute as such; what a clock that has been
    set back since had called the future takes no part in that."""
    for level in range(len(LEVELS) - 1, 0, -1):
        since = time - time % LEVELS[level][0]
        query = "SELECT 1 FROM snapshots WHERE level >= ? AND time BETWEEN ? AND ? LIMIT 1"
        if store.execute(query, (level, since, time)).fetchone() is None:
            return level
    return 0


class MetricsReader:
    """Reads a run's file, whoever writes it."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE

    def since(self, number: int = 0) -> list[tuple[int, Snapshot]]:
        """(number, snapshot), oldest first, of those with a number above `number`. A file that
        can't be read, or isn't there, has none."""
        return list(self._read("WHERE id > ? ORDER BY id", (number,)))

    def last(self, count: int) -> list[tuple[int, Snapshot]]:
        """The newest, oldest first."""
        return list(self._read("ORDER BY id DESC LIMIT ?", (count,)))[::-1]

    def spread(self, count: int) -> list[Snapshot]:
        """Of the run's whole life some `count`, evenly over the time."""
        rows = self._rows(f"SELECT id, time FROM snapshots WHERE {_A_TIME}", ())
        times = [float(time) for _, time in rows]
        if not times:
            return []
        step = max(1e-9, (max(times) - min(times)) / count)
        part = f"SELECT MAX(id) FROM snapshots WHERE {_A_TIME}"
        part += " GROUP BY CAST((time - ?) / ? AS INTEGER)"
        return [
            one for _, one in self._read(f"WHERE id IN ({part}) ORDER BY id", (min(times), step))
        ]

    def _read(self, how: str, values: tuple[object, ...]) -> Iterator[tuple[int, Snapshot]]:
        for number, data in self._rows(f"SELECT id, data FROM snapshots {how}", values):
            with contextlib.suppress(*NONSENSE, zlib.error):
                yield number, parse_json(Snapshot, _unpacked(data))

    def _rows(self, query: str, values: tuple[object, ...]) -> list[tuple[int, bytes]]:
        if not self._file.exists():
            return []
        try:
            where = f"{self._file.absolute().as_uri()}?mode=ro"
            with contextlib.closing(sqlite3.connect(where, WAIT_S, uri=True)) as store:
                return store.execute(query, values).fetchall()
        except sqlite3.Error:
            return []


class LiveMetrics:
    """The last snapshots of a run's folder."""

    def __init__(self, folder: Path) -> None:
        self._reader = MetricsReader(folder)
        self._number = 0
        self._kept: deque[Snapshot] = deque(maxlen=LIVE)

    def look(self) -> tuple[bool, list[Snapshot]]:
        """Whether there are new ones, and all that are kept, oldest first. A file that was begun
        anew counts from its beginning."""
        newest = self._reader.last(1)
        if newest and newest[-1][0] < self._number:
            self._number = 0
            self._kept.clear()
        found = self._reader.since(self._number) if self._number else self._reader.last(LIVE)
        if found:
            self._number = found[-1][0]
            self._kept.extend(one for _, one in found)
        return bool(found), list(self._kept)
