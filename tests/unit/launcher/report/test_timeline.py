"""A real start on four H200 as spans, and what is worth saying of it."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from dsr1.hosts.agent.process.progress import ProgressReader
from dsr1.hosts.protocol.codec import parse_event
from dsr1.hosts.protocol.events import Progress
from dsr1.launcher.cli.views.timeline import timeline_lines
from dsr1.launcher.commands.phases import VLLM_PHASES
from dsr1.launcher.report.sentences import start_sentences
from dsr1.launcher.report.start import start_of
from dsr1.launcher.report.timeline import Timeline, make_timeline
from dsr1.launcher.run.folder import RunFolder
from dsr1.launcher.run.ranks import Moment, RankRow, RankTable, advance, all_ready
from dsr1.launcher.run.record.history import Change, record
from dsr1.launcher.run.record.starts import FILE, PhaseBegun, read_phases, record_phases
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run

STARTS = Path(__file__).parents[3] / "data" / "h200-x4" / "starts"


def recorded(folder: Path, start: str, ready_s: float) -> list[PhaseBegun]:
    """What a supervisor records of the events that a real agent told."""
    lines = (STARTS / start / "events.jsonl").read_text().splitlines()
    events = [parse_event(line) for line in lines]
    began = events[0].time
    table: RankTable = tuple(
        RankRow("main", rank, "localhost", "main-0", "starting", began) for rank in range(4)
    )
    run = RunFolder(folder)
    folder.mkdir(exist_ok=True)
    record_phases(run, (), table)
    for one in events:
        if isinstance(one.event, Progress):
            before, table = table, advance(table, one.event, Moment(one.time, one.time))
            record_phases(run, before, table)
    record_phases(run, table, all_ready(table, Moment(began + ready_s, began)))
    return read_phases(run)


def timeline(folder: Path, start: str, ready_s: float) -> Timeline:
    made = make_timeline(recorded(folder, start, ready_s))
    assert made is not None
    return made


def test_a_real_start(tmp_path: Path) -> None:
    found = timeline(tmp_path / "a", "dynamo-cold", 219.0)
    assert (found.ready, round(found.seconds), len(found.ranks)) == (True, 219, 4)
    assert found.slowest.done == max(rank.done for rank in found.ranks)
    for rank in found.ranks:
        assert rank.spans[0].begin == 0
        assert rank.spans[-1].end == pytest.approx(219, abs=0.1)
        ends = [
            (one.end, other.begin) for one, other in zip(rank.spans, rank.spans[1:], strict=False)
        ]
        assert all(end == begin for end, begin in ends)
    assert sum(found.phases.values()) == pytest.approx(219, abs=0.1)


def test_what_caches_saved(tmp_path: Path) -> None:
    cold = timeline(tmp_path / "a", "dynamo-cold", 219.0)
    warm = timeline(tmp_path / "b", "dynamo-second", 65.0)
    said = list(start_sentences(warm, ("r0", cold)))
    assert said[0].startswith(
        "ready 65.0 s after the agents had begun; the slowest rank was main rank "
    )
    assert any(line.startswith("154.0 s faster than r0") for line in said)
    assert any(line.startswith("caches saved ") and "of capturing" in line for line in said)
    assert any("said nothing for" in line for line in said)


def test_imports_of_a_real_start_are_told_apart(tmp_path: Path) -> None:
    """Three times the same modules: server, engines, workers, by the clock of the log's lines."""
    reader, run = ProgressReader(VLLM_PHASES), RunFolder(tmp_path)
    spawned = moment("14:19:43")
    table: RankTable = tuple(
        RankRow("main", rank, "localhost", "main-0", "starting", spawned) for rank in range(4)
    )
    record_phases(run, (), table)
    at = spawned
    for line in (STARTS / "vllm-base" / "main-0.log").read_text().splitlines():
        at = moment(found[0]) if (found := CLOCK.search(line)) else at
        for step in reader.feed(f"{line}\n".encode()):
            told = Progress("main-0", step.phase, step.rank, step.done, step.total)
            before, table = table, advance(table, told, Moment(at, at))
            record_phases(run, before, table)
    record_phases(run, table, all_ready(table, Moment(at, at)))
    made = make_timeline(read_phases(run))
    assert made is not None
    assert made.imports == {"server": 11.0, "engine": 26.0, "worker": 12.0}
    lines = list(start_sentences(made, None))
    assert any(
        line.startswith("49.0 s (") and line.endswith("server 11.0 s, engine 26.0 s, worker 12.0 s")
        for line in lines
    )
    legend = list(timeline_lines(made, 100))[-1].plain
    assert "i initialising  o connecting  l loading" in legend


CLOCK = re.compile(r"(?<= 11-26 )\d\d:\d\d:\d\d")


def moment(clock: str) -> float:
    return sum(int(part) * unit for part, unit in zip(clock.split(":"), (3600, 60, 1), strict=True))


def test_a_terminal_has_a_line_for_each_rank(tmp_path: Path) -> None:
    found = timeline(tmp_path / "a", "dynamo-cold", 219.0)
    lines = [line.plain for line in timeline_lines(found, 100)]
    assert max(map(len, lines)) <= 100
    assert [line[:6] for line in lines[1:5]] == [f"main/{rank.rank}" for rank in found.ranks]
    assert "g capturing" in lines[-1]


def rows(*begun: tuple[float, str, int, str]) -> list[PhaseBegun]:
    return [
        PhaseBegun(t, engine, rank, "n1", f"{engine}-0", phase) for t, engine, rank, phase in begun
    ]


RESTARTED = rows(
    (100, "a", 0, "starting"),
    (100, "b", 0, "starting"),
    (110, "a", 0, "ready"),
    (110, "b", 0, "ready"),
    (500, "b", 0, "starting"),
    (530, "b", 0, "loading"),
    (540, "b", 0, "ready"),
)


def test_an_engine_that_was_started_again_is_shown_by_its_name() -> None:
    whole, alone = make_timeline(RESTARTED), make_timeline(RESTARTED, "b")
    assert whole is not None
    assert alone is not None
    assert (whole.seconds, alone.seconds) == (10, 40)
    assert [rank.engine for rank in alone.ranks] == ["b"]
    assert make_timeline(RESTARTED, "c") is None
    assert make_timeline([]) is None


def given_up(tmp_path: Path, *changes: Change, phase: str) -> Timeline:
    """Rank 0 loads since 10 s, rank 1 warms up since 20 s; engine b is ready."""
    begun = rows(
        (100, "a", 0, "starting"),
        (100, "a", 1, "starting"),
        (100, "b", 0, "starting"),
        (105, "b", 0, "ready"),
        (110, "a", 0, "loading"),
        (120, "a", 1, "warming up"),
    )
    run = Run(tmp_path)
    (tmp_path / FILE).write_text("".join(json.dumps(asdict(one)) + "\n" for one in begun))
    for change in changes:
        record(run, change)
    run.save(RunState(phase, 400.0))
    found = start_of(run, clock=lambda: 500.0)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("changes", "phase", "seconds"),
    [
        ((Change(250.0, "supervisor", "stopping"),), "stopped", 150.0),
        ((Change(90.0, "supervisor", "failed"),), "failed", 300.0),
        ((), "starting", 400.0),
    ],
)
def test_the_last_phase_of_a_start_that_never_was_ready_lasts_to_its_end(
    tmp_path: Path, changes: tuple[Change, ...], phase: str, seconds: float
) -> None:
    """Seen on four H200: 150 s of warm-up were missing when a start was stopped in the midst of
    it."""
    found = given_up(tmp_path, *changes, phase=phase)
    assert (found.ready, found.seconds) == (False, seconds)
    assert found.phases == {"starting": 10.0, "loading": seconds - 10.0}


def test_who_is_furthest_behind_is_the_slowest_of_a_start_that_was_given_up(
    tmp_path: Path,
) -> None:
    found = given_up(tmp_path, phase="starting")
    assert [(rank.engine, rank.rank) for rank in found.ranks] == [("a", 0), ("a", 1), ("b", 0)]
    said = next(start_sentences(found, None))
    assert said == (
        "not ready 400.0 s after the agents had begun; a rank 0 on n1 was loading since 10.0 s"
    )


def test_a_clock_that_is_set_back_makes_no_negative_span() -> None:
    found = make_timeline(
        rows((100, "a", 0, "starting"), (90, "a", 0, "loading"), (120, "a", 0, "ready"))
    )
    assert found is not None
    assert all(span.seconds >= 0 for rank in found.ranks for span in rank.spans)
    assert list(timeline_lines(found, 80))


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    good = {
        "time": 1.0,
        "engine": "a",
        "rank": 0,
        "host": "h",
        "process": "a-0",
        "phase": "loading",
    }
    lines = [
        json.dumps(good),
        "{",
        json.dumps({**good, "phase": "dancing"}),
        '{"time": 1e999}',
        "7",
    ]
    (tmp_path / FILE).write_text("\n".join(lines))
    assert len(read_phases(RunFolder(tmp_path))) == 1
