"""Snapshots are kept, fewer the older they are, whatever becomes of the file."""

import sqlite3
from pathlib import Path

import pytest

from dsr1.hosts.protocol.facts.devices import GpuGauges
from dsr1.launcher.metrics.samples import (
    FrontendSample,
    GpuSample,
    Histogram,
    RankSample,
    Snapshot,
)
from dsr1.launcher.metrics.store import FILE, HOUR, MINUTE, MetricsReader, add_snapshot

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


def test_a_file_in_use_costs_the_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsr1.launcher.metrics.store.WAIT_S", 0.01)
    add_snapshot(tmp_path, WHOLE)
    with sqlite3.connect(tmp_path / FILE) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError):
            add_snapshot(tmp_path, WHOLE)
        assert MetricsReader(tmp_path).since() == []
    assert len(MetricsReader(tmp_path).since()) == 1
