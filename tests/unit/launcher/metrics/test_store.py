"""Snapshots are kept, fewer the older they are, whatever becomes of the file."""

import sqlite3
import zlib
from pathlib import Path

import pytest

from dsr1.hosts.protocol.facts.devices import GpuGauges
from dsr1.hosts.protocol.plain import to_json
from dsr1.launcher.metrics.samples import (
    FrontendSample,
    GpuSample,
    Histogram,
    RankSample,
    Snapshot,
)
from dsr1.launcher.metrics.store import (
    DAY,
    FILE,
    HOUR,
    MINUTE,
    MOST_BYTES,
    MetricsReader,
    add_snapshot,
)

WHOLE = Snapshot(
    1000.0,
    5.0,
    (RankSample("a b", 0, "n';--1", "a-0", running=3.0),),
    (FrontendSample("frontend", "n1", ttft=Histogram((0.1,), (1.0, 2.0))),),
    (GpuSample("n1", "0", GpuGauges(power_w=5.0)),),
)


def test_a_snapshot_comes_back_as_it_was(tmp_path: Path) -> None:
    add_snapshot(tmp_path, WHOLE)
    assert MetricsReader(tmp_path).last(3) == [(1, WHOLE)]
    assert MetricsReader(tmp_path).since(1) == []


def test_the_older_the_fewer(tmp_path: Path) -> None:
    hours = 6
    for number in range(int(hours * HOUR / 10)):
        add_snapshot(tmp_path, Snapshot(number * 10.0, number * 10.0))
    times = [one.time for _, one in MetricsReader(tmp_path).since()]
    end = times[-1]
    assert len([t for t in times if t >= end - 15 * MINUTE]) == 91
    early = [t for t in times if HOUR <= t < 2 * HOUR]
    assert early == [HOUR + minutes * MINUTE for minutes in (0, 10, 20, 30, 40, 50)]
    assert len(times) < 400
    spread = [one.time for one in MetricsReader(tmp_path).spread(12)]
    assert 12 <= len(spread) <= 13
    assert spread == sorted(spread)


def test_a_broken_file_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 1000)
    assert MetricsReader(tmp_path).since() == []
    add_snapshot(tmp_path, WHOLE)
    assert MetricsReader(tmp_path).last(1) == [(1, WHOLE)]


def test_what_another_wrote_is_left_out(tmp_path: Path) -> None:
    add_snapshot(tmp_path, WHOLE)
    with sqlite3.connect(tmp_path / FILE) as store:
        store.execute("INSERT INTO snapshots (time, level, data) VALUES (1, 0, x'00')")
    assert len(MetricsReader(tmp_path).since()) == 1


ROWS = (
    ("'abc'", "x'00'"),
    ("9e999", "x'00'"),
    ("-9e999", "x'00'"),
    ("1e300", "x'00'"),
    ("2.0", "5"),
    ("2.0", "'text'"),
    ("x'0102'", "x'00'"),
)


def test_rows_of_any_kind_end_nothing(tmp_path: Path) -> None:
    bomb = zlib.compress(b" " * (MOST_BYTES + 1))
    add_snapshot(tmp_path, WHOLE)
    with sqlite3.connect(tmp_path / FILE) as store:
        for time, data in ROWS:
            store.execute(f"INSERT INTO snapshots (time, level, data) VALUES ({time}, 0, {data})")
        store.execute("INSERT INTO snapshots (time, level, data) VALUES (3, 0, ?)", (bomb,))
        cut = zlib.compress(to_json(WHOLE))[:-9]
        store.execute("INSERT INTO snapshots (time, level, data) VALUES (4, 0, ?)", (cut,))
    reader = MetricsReader(tmp_path)
    assert [one for _, one in reader.since()] == [WHOLE]
    assert reader.spread(1000) == [WHOLE]
    assert reader.last(1) == []
    add_snapshot(tmp_path, WHOLE)
    assert len(reader.since()) == 2


def test_a_clock_that_was_wrong_for_a_while_costs_little(tmp_path: Path) -> None:
    """A day ahead for ten minutes: what is kept afterwards is kept as usual."""
    ahead = [DAY + 10.0 * n for n in range(60)]
    after = [10.0 * n for n in range(60, int(3 * HOUR / 10))]
    for number, time in enumerate([*ahead, *after]):
        add_snapshot(tmp_path, Snapshot(time, 10.0 * number))
    times = [one.time for _, one in MetricsReader(tmp_path).since()]
    assert len([t for t in times if t < 2 * HOUR and t % HOUR == 0]) == 1
    assert len([t for t in times if HOUR <= t < 2 * HOUR]) >= 50  # one a minute
    assert len(times) < 400


def test_a_file_in_use_costs_the_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsr1.launcher.metrics.store.WAIT_S", 0.01)
    add_snapshot(tmp_path, WHOLE)
    with sqlite3.connect(tmp_path / FILE) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError):
            add_snapshot(tmp_path, WHOLE)
        assert MetricsReader(tmp_path).since() == []
    assert len(MetricsReader(tmp_path).since()) == 1
