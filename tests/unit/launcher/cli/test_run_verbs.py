"""Verbs for runs that are there, on runs that are folders alone: nothing is started."""

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.host import Host, this_machine
from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.main import main
from dsr1.launcher.cli.options.durations import parse_span
from dsr1.launcher.operate.log_filter import LogFilter, by_time, parse_pattern, timed_lines
from dsr1.launcher.operate.logs import LogChunk
from dsr1.launcher.operate.summary import save_ready_after, usual_start_s
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.plan.render_text import render_summary
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.run.settings import RunSettings
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run, new_run

Call = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dsr1", *words.split()])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def make_run(name: str, state: RunState) -> Run:
    recipe, run = load_recipe("dsr1-slice", ["model.path=/m"]), new_run(name)
    run.claim(recipe, "starting")
    run.save_plan(make_plan(recipe, this_machine(1, 1), name, str(run.folder)))
    run.save_settings(RunSettings("python3", *(1.0,) * 7, restarts=0, backoff_s=1.0))
    run.save(state)
    return run


LONG_AGO, NOW = time.time() - 8 * 86400, time.time()


def test_rm_removes_what_is_over_and_nothing_else(call: Call) -> None:
    old = make_run("old", RunState("stopped", LONG_AGO))
    new = make_run("new", RunState("failed", NOW))
    lives = make_run("lives", RunState("ready", LONG_AGO))
    left = make_run("left", RunState("failed", LONG_AGO, left=("n1",)))
    assert call("rm old lives")[0] == 2
    assert old.folder.exists()
    for name, why in (("lives", "is ready"), ("left", "may still run: n1")):
        code, _, said = call(f"rm {name}")
        assert (code, why in said, f"dsr1 stop {name}" in said) == (2, True, True)
    assert call("rm --older 7d") == (0, "old: removed\n", "")
    assert [run.folder.exists() for run in (old, new, lives, left)] == [False, True, True, True]
    assert call("rm --older 7d") == (0, "no run ended longer than 7d ago\n", "")
    assert call("rm new")[:2] == (0, "new: removed\n")
    assert call("rm new")[0] == 5
    assert call("rm")[0] == call("rm --older soon")[0] == 2


def test_a_name_can_be_used_again_once_its_run_is_over(call: Call) -> None:
    make_run("r1", RunState("stopped", NOW))
    lives = make_run("r2", RunState("ready", NOW))
    nowhere = "launch dsr1-slice --model /m --venv /none --no-check --on no-such"
    assert "no site file" in call(f"{nowhere} --name r1 --replace")[2]
    code, _, said = call("launch dsr1-slice --model /m --no-check --venv /none --name r2 --replace")
    assert (code, "r2: is ready" in said) == (2, True)
    assert lives.folder.exists()
    said = call("launch dsr1-slice --model /m --no-check --venv /none --name r1")[2]
    assert "`dsr1 rm r1`, or launch with --replace" in said


def test_stop_all_stops_what_lives(call: Call) -> None:
    make_run("over", RunState("stopped", NOW))
    lives = make_run("lives", RunState("ready", NOW))
    assert call("stop --all") == (0, "lives: stopped, nothing of it is alive\n", "")
    assert lives.state().phase == "stopped"
    assert call("stop --all") == (0, "no run lives\n", "")
    assert json.loads(call("stop lives --json")[1])["data"] == [
        {"run": "lives", "stopped": True, "left": [], "spared": []}
    ]
    assert call("stop lives --all")[0] == 2


@pytest.mark.parametrize(
    ("phase", "words", "code"),
    [
        ("stopped", "status r", 7),
        ("starting", "status r", 7),
        ("failed", "status r", 4),
        ("failed", "status r --url", 4),
        ("failed", "wait r", 4),
        ("starting", "wait r --timeout 0.01", 7),
        ("starting", "wait r --timeout never", 2),
        ("stopped", "status r --url --json", 2),
    ],
)
def test_exit_codes_say_whether_it_serves(call: Call, phase: str, words: str, code: int) -> None:
    make_run("r", RunState(phase, NOW, reason="why"))
    found, said, _ = call(words)
    assert found == code
    if "--url" in words and code != 2:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1\n", said)


def test_an_answer_that_nobody_was_given_is_not_the_next_verbs(call: Call) -> None:
    make_run("r", RunState("ready", NOW))
    ANSWER.put("kind", ["of an earlier call in this process"])
    assert "earlier call" not in call("ps")[1]


@pytest.mark.parametrize(("phase", "promised"), [("starting", True), ("stopping", False)])
def test_what_stops_is_not_going_to_serve(call: Call, phase: str, promised: bool) -> None:
    make_run("r", RunState(phase, NOW - 90))
    assert (" is to serve " in call("status r")[1]) is promised


def test_status_says_first_how_it_is(call: Call) -> None:
    make_run("r", RunState("failed", LONG_AGO, reason="died", restarts=2, left=("n1: x",)))
    lines = call("status r")[1].splitlines()
    assert lines[0] == "r: failed 8 d ago"
    assert lines[1].startswith("recipe dsr1-slice, launched ")
    assert lines[1].endswith("restarted 2 times")
    assert lines[2:4] == ["died", "MAY STILL RUN: n1: x"]
    head, row = call("ps")[1].splitlines()
    assert head.split() == ["NAME", "PHASE", "AGE", "RECIPE", "HOSTS", "URL", "JOB"]
    url = new_run("r").plan().service.url
    assert {"r", "failed", "dsr1-slice", "localhost", url} <= set(row.split())
    new_run("r").save(RunState("ready", NOW))
    assert f"{url}/v1 serves " in call("status r")[1].splitlines()[1]


CHUNKS = (
    LogChunk("a", "main-0", "INFO 11-26 20:00:01 one\n  more of one\nINFO 11-26 20:00:05 three"),
    LogChunk("b", "main-1", "2026-11-26T20:00:03.5Z two\nERROR 11-26 20:00:09 four"),
    LogChunk("b", "", "b: can't be read"),
)


def texts(wanted: LogFilter, tail: int | None = None) -> list[str]:
    return [line.text for line in by_time(timed_lines(CHUNKS, wanted, 2026, 0.0), tail)]


def test_logs_are_merged_by_time() -> None:
    ends = [text.split()[-1] for text in texts(LogFilter())]
    assert ends == ["read", "one", "one", "two", "three", "four"]


def test_logs_of_any_size_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsr1.launcher.operate.log_filter.MOST_LINES", 2)
    lines = texts(LogFilter())
    assert lines[0].startswith("main-0 on a: only its last 2 lines are shown")
    assert [line.split()[-1] for line in lines[1:]] == ["read", "one", "two", "three", "four"]


def test_logs_by_host_process_time_and_pattern() -> None:
    said = "b: can't be read"
    assert len(texts(LogFilter(process="main-0"))) == 4
    assert said not in texts(LogFilter(host="a"))
    eight = timed_lines(CHUNKS[:1], LogFilter(), 2026, 0.0)
    since = next(eight).time + 3
    assert texts(LogFilter(since=since))[1:] == [
        "INFO 11-26 20:00:05 three",
        "ERROR 11-26 20:00:09 four",
    ]
    assert texts(LogFilter(pattern=parse_pattern("^ERR|more")))[1:] == [
        "  more of one",
        "ERROR 11-26 20:00:09 four",
    ]
    assert [text.split()[-1] for text in texts(LogFilter(), 1)] == ["read", "three", "four"]


@pytest.mark.parametrize("odd", ["(", "*", "a{99999999999}"])
def test_a_pattern_that_is_none_is_refused(odd: str) -> None:
    with pytest.raises(InputError, match="--grep"):
        parse_pattern(odd)


def test_logs_of_what_is_not_there(call: Call) -> None:
    make_run("r", RunState("failed", NOW))
    assert "has no process 'x'; it has main-0" in call("logs r x")[2]
    assert "has no host 'n9'; it has localhost" in call("logs r --host n9")[2]
    assert call("logs r --tail 3 -f")[0] == call("logs r --grep (")[0] == 2


def test_a_summary_of_64_hosts_fits_on_a_screen() -> None:
    hosts = [Host(f"node{number:02}", f"10.0.0.{number}") for number in range(1, 65)]
    lines = render_summary(make_plan(load_recipe("dsr1-dep"), hosts, "r", "/r")).splitlines()
    assert len(lines) <= 8
    assert lines[0].startswith("r: 66 processes, 512 DP ranks on 64 hosts; http://10.0.0.1:8000/v1")
    assert lines[2].startswith("node[02-64] (63 hosts): main (8 ranks, ports ")


def test_the_usual_time_is_that_of_the_newest_like_it(call: Call) -> None:
    save_ready_after(make_run("a", RunState("stopped", NOW)), 65.0)
    make_run("b", RunState("failed", NOW))
    assert usual_start_s("dsr1-slice", 1) == 65.0
    assert usual_start_s("dsr1-slice", 2) is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5m", 90), ("2h", 7200), ("7d", 604800)]
)
def test_spans(text: str, seconds: float) -> None:
    assert parse_span(text, "--since") == seconds
