"""What the watch reads is kept, now and then, and costs the watch nothing."""

from pathlib import Path

import pytest
from tests.unit.launcher.metrics.test_snapshot import FRONTEND, GPUS, MOCKER, Pages, plan_of

from dsr1.hosts.protocol.facts.devices import DEVICES
from dsr1.launcher.health.members import watched_ranks
from dsr1.launcher.health.readings import NOTHING_MORE, Readings, read_servers
from dsr1.launcher.metrics import recorder
from dsr1.launcher.metrics.recorder import MetricsRecorder
from dsr1.launcher.metrics.store import MetricsReader

PLAN = plan_of("stack: mocker\nengines: {main: {ranks_per_node: 2}}")
PAGES = Pages({"frontend": FRONTEND, "main-0": MOCKER, DEVICES: GPUS})


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1e9 + self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(recorder, "time", made)
    return made


def look(kept: MetricsRecorder) -> bool:
    """Whether a snapshot was due."""
    more = kept.wants()
    kept.take(read_servers(PLAN, watched_ranks(PLAN), PAGES, 5.0, more))
    return more is not NOTHING_MORE


def test_a_look_each_second_is_a_snapshot_in_ten(tmp_path: Path, clock: Clock) -> None:
    kept, due = MetricsRecorder(tmp_path, PLAN, 5.0), []
    for second in range(40):
        clock.now = 100.0 + second
        if look(kept):
            due.append(second)
    assert due == [0, 9, 18, 27, 36]
    snapshots = [one for _, one in MetricsReader(tmp_path).since()]
    assert len(snapshots) == 5
    assert all(len(one.gpus) == 1 for one in snapshots)  # also where devices weren't asked


def test_a_fault_of_ours_is_told_once_and_ends_nothing(
    tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = MetricsRecorder(tmp_path / "gone", PLAN, 5.0)
    for _ in range(3):
        clock.now += 10
        assert look(kept)
    assert capsys.readouterr().err.count("Traceback") == 1
    kept.take(Readings({}, {}))
