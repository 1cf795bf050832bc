"""The screen of a start: it fits, what holds up the others is on it, and what is piped is short."""

import io

import pytest
from rich.console import Console

from dsr1.launcher.cli.views.ages import age_text
from dsr1.launcher.cli.views.hosts import changed_lines, host_lines, host_rows
from dsr1.launcher.cli.views.start import PlainLines, StartScreen
from dsr1.launcher.run.ranks import RankRow
from dsr1.launcher.run.state import RunState

NOW = 1000.0


def rank(
    number: int,
    host: str,
    phase: str = "compiling",
    since: float = NOW - 5,
    done: int | None = None,
) -> RankRow:
    return RankRow("main", number, host, f"main-{host}", phase, since, done, done and 163)


SIXTEEN = tuple(rank(number, f"node{number // 8:02}") for number in range(128))


@pytest.mark.parametrize("height", [3, 10, 24, 60])
@pytest.mark.parametrize("width", [30, 80])
def test_it_is_never_taller_than_the_terminal(height: int, width: int) -> None:
    screen = StartScreen("r1", NOW - 65, 70.0)
    screen.tell(RunState("starting", NOW, ranks=SIXTEEN))
    console = Console(width=width, height=height, file=io.StringIO(), record=True)
    for line in screen.drawn(NOW, width, height):
        console.print(line)
    lines = console.export_text().splitlines()
    assert len(lines) < max(height, 3)
    assert lines[0].startswith("r1: starting, 1 min")
    screen.tell(RunState("queued", NOW, reason="job 1 waits " * 50))
    assert [line.cell_len <= width for line in screen.drawn(NOW, width, height)] == [True]


def test_sixteen_hosts_of_eight_are_in_twenty_four_lines() -> None:
    screen = StartScreen("r1", NOW - 65, 70.0)
    screen.tell(RunState("starting", NOW, ranks=SIXTEEN))
    lines = [line.plain for line in screen.drawn(NOW, 80, 24)]
    assert lines[0] == "r1: starting, 1 min 5 s, about 5 s to go (last time it took 1 min 10 s)"
    assert len(lines) == 17
    assert lines[1].split() == ["node00", "main", "0-7", "compiling", "for", "5", "s"]


def test_a_stuck_rank_is_first_however_many_hosts_there_are() -> None:
    stuck = rank(512, "node99", "loading", NOW - 400, 41)
    many = tuple(rank(number, f"node{number:02}") for number in range(64))
    rows = host_rows((*many, stuck, rank(513, "node99")), NOW)
    lines = [line.plain for line in host_lines(rows, 6)]
    assert lines[0].split("  ") == [
        "node99",
        "main 512-513",
        "1 loading 41/163, 1 compiling",
        "for 6 min 40 s",
    ]
    assert (len(lines), lines[-1]) == (6, "and 60 hosts more: 60 compiling")


def test_of_two_in_one_phase_the_less_far_is_first_then_the_one_that_stands_longer() -> None:
    rows = host_rows(
        (
            rank(0, "a", "loading", NOW - 1, 80),
            rank(1, "b", "loading", NOW - 1, 20),
            rank(2, "c", "loading", NOW - 9, 20),
            rank(3, "d", "ready"),
            rank(4, "e", "no-such-phase"),
        ),
        NOW,
    )
    assert [row.host for row in rows] == ["e", "c", "b", "a", "d"]


def test_piped_it_is_a_line_for_hosts_and_phase() -> None:
    known: dict[str, str] = {}
    assert list(changed_lines(host_rows(SIXTEEN, NOW), known)) == ["node[00-15]: compiling"]
    assert list(changed_lines(host_rows(SIXTEEN, NOW), known)) == []
    one = (rank(0, "node03", "ready"), *SIXTEEN[32:])
    assert list(changed_lines(host_rows(one, NOW), known)) == ["node03: ready"]


def test_piped_lines_have_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    lines = PlainLines()
    for done in (0, 1, 2):
        lines.count("asking hosts", done, 2)
    for _ in range(2):
        lines.tell(RunState("queued", NOW, reason="job 1 waits"))
    said = [line.split(" ", 1) for line in capsys.readouterr().out.splitlines()]
    assert [words for _, words in said] == ["asking hosts 0/2", "asking hosts 2/2", "job 1 waits"]
    assert all(len(clock.split(":")) == 3 for clock, _ in said)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.6, "1 min"),
        (65, "1 min 5 s"),
        (7260, "2 h 1 min"),
        (7205, "2 h"),
        (9e5, "10 d 10 h"),
        (-3, "0 s"),
    ],
)
def test_ages(seconds: float, text: str) -> None:
    assert age_text(seconds) == text
