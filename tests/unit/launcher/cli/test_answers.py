"""The envelope of --json: one document for each call, whatever becomes of it."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from dsr1.hosts.inventory.host import this_machine
from dsr1.launcher.cli.answers.envelope import (
    ANSWER,
    AnswerError,
    PendingAnswer,
    iso_time,
    render_envelope,
)
from dsr1.launcher.cli.answers.kinds import KINDS, answer_schema
from dsr1.launcher.cli.app import load_command
from dsr1.launcher.cli.main import main
from dsr1.launcher.cli.smoke import _text
from dsr1.launcher.cli.verbs import VERBS, Verb
from dsr1.launcher.cli.views.changes import NOTHING, put_change
from dsr1.launcher.health.verdicts import SUSPECT, RankHealth
from dsr1.launcher.lifecycle.changes import ChangeStep, WantedChange
from dsr1.launcher.operate.updating import KeyDifference
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.run.ranks import RankRow
from dsr1.launcher.run.record.history import Change, record
from dsr1.launcher.run.settings import RunSettings
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run, new_run

Ask = Callable[[str], tuple[int, Any]]
FAILED_AT = 1795726848.0
TESTS = Path(__file__).parents[3]
CLI = TESTS.parent / "launcher" / "dsr1" / "launcher" / "cli"
MANIFEST = next((TESTS / "data" / "manifests").rglob("*.yaml"))


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """The exit code, and what stdout is as JSON."""
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(words: str) -> tuple[int, Any]:
        monkeypatch.setattr(sys, "argv", ["dsr1", *words.split()])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def run(ask: Ask) -> Run:
    recipe, run = load_recipe("dsr1-slice", ["model.path=/m"]), new_run("r1")
    run.claim(recipe, "starting")
    run.save_plan(make_plan(recipe, this_machine(1, 1), "r1", str(run.folder)))
    run.save_settings(RunSettings("python3", *(1.0,) * 7, restarts=0, backoff_s=1.0))
    rows = (RankRow("main", 0, "localhost", "main-0", "loading", FAILED_AT, 3, 9),)
    ailing = (RankHealth("main", 0, "localhost", "main-0", SUSPECT, since=FAILED_AT),)
    run.save(RunState("failed", FAILED_AT, 2.5, "died", 4, rows, ailing=ailing))
    return run


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        ("ps --json", 0, "runs"),
        ("recipes --json", 0, "recipes"),
        ("recipes dsr1-dep --json", 0, "recipe"),
        ("plan --no-facts --json", 0, "plan"),
        ("cache ls --json", 0, "kept-caches"),
        ("render --bash --no-facts --json", 0, "script"),
        ("convert dsr1-dep --to tp8 --json", 0, "convert"),
        (f"import {MANIFEST} --json", 0, "import"),
        ("exec --hosts localhost:1 --json -- true", 4, "exec"),
        ("stop r1 --json", 0, "stop"),
        ("status r1 --json", 4, "status"),
        ("status r1 --ports --json", 0, "listeners"),
        ("metrics r1 --json", 0, "metrics-files"),
        ("metrics r1 --down --json", 0, "metrics-servers"),
        ("report r1 --json", 0, "report"),
        ("bundle r1 --json", 0, "bundle"),
        ("explain gpu --json", 0, "explained-checks"),
        ("schema runs --json", 0, "schema"),
        ("cache prune --older 1 --json", 0, "removed-caches"),
        ("rm r1 --json", 0, "removed-runs"),
        ("rm --older 3000d --json", 0, "removed-runs"),
    ],
)
def test_every_answer_has_one_form(ask: Ask, run: Run, words: str, code: int, kind: str) -> None:
    found, told = ask(words)
    assert (found, list(told)) == (code, ["schema", "kind", "data", "errors"])
    assert (told["schema"], told["kind"], told["errors"]) == ("dsr1/1", kind, [])
    assert_of_form(kind, told["data"])


def test_every_verb_answers_in_json() -> None:
    options = {verb.name: _options(verb) for verb in VERBS if not verb.verbs}
    options |= {one.name: _options(one) for verb in VERBS for one in verb.verbs}
    assert {name for name, known in options.items() if "--json" not in known} == set()


def _options(verb: Verb) -> set[str]:
    return {name for one in load_command(verb).params for name in one.opts}


@pytest.mark.parametrize("words", ["explain gpu.xid", "schema runs"])
def test_what_is_nothing_but_its_answer_is_said_once(
    words: str,
    ask: Ask,
    run: Run,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["dsr1", *words.split(), "--json"])
    with pytest.raises(SystemExit):
        main()
    told = capsys.readouterr()
    assert (json.loads(told.out)["errors"], told.err) == ([], "")


def test_a_verb_s_words_go_to_stderr(
    ask: Ask, run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And without --json there is no JSON, whether it fails or not."""
    code, told = ask("wait r1 --json")
    assert (code, told["kind"], told["data"]["phase"]) == (4, "wait", "failed")
    assert [one["exit_code"] for one in told["errors"]] == [4]
    assert_of_form("wait", told["data"])
    for words, said in (("wait r1", " localhost: loading\n"), ("rm r1", "r1: removed\n")):
        monkeypatch.setattr(sys, "argv", ["dsr1", *words.split()])
        with pytest.raises(SystemExit):
            main()
        out = capsys.readouterr().out
        assert (out.endswith(said), "{" in out) == (True, False)


def test_a_stream_is_of_lines_to_its_end(
    ask: Ask, run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record(run, Change(FAILED_AT, "supervisor", "ready", ""))
    record(run, Change(FAILED_AT + 1, "supervisor", "failed", "died"))
    monkeypatch.setattr(sys, "argv", ["dsr1", "events", "r1", "--json"])
    with pytest.raises(SystemExit):
        main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["kind"], one["data"]["what"]) for one in lines] == [
        ("event", "ready"),
        ("event", "failed"),
    ]
    assert lines[0]["data"]["time"] == "2026-11-26T21:00:48Z"
    assert_of_form("event", lines[0]["data"])
    code, told = ask("logs gone --ndjson")  # one line, or it could not be read as one
    assert (code, told["kind"], told["errors"][0]["exit_code"]) == (5, "failure", 5)


def test_a_change_is_told_whole(ask: Ask, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    steps = (ChangeStep("restart", "main"),)
    change = WantedChange("restart", steps, "me@here", "dsr1 restart", 7.0, phase="done", done=1)
    put_change(run, change, (KeyDifference("a.b", "1", ""),))
    ANSWER.flush()
    data = json.loads(capsys.readouterr().out)["data"]
    assert_of_form("change", data)
    assert (data["run"], data["steps"]) == ("r1", [{"what": "restart", "engine": "main"}])
    put_change(run, NOTHING)
    ANSWER.flush()
    assert_of_form("change", json.loads(capsys.readouterr().out)["data"])


def assert_of_form(kind: str, data: object) -> None:
    """Every key of the form is there, and no other."""
    again = TypeAdapter(KINDS[kind]).validate_json(json.dumps(data))
    shown = TypeAdapter(KINDS[kind]).dump_python(again, mode="json")
    assert keys_below(shown) == keys_below(data)


def keys_below(value: object) -> object:
    if isinstance(value, dict):
        return {key: keys_below(inner) for key, inner in value.items()}
    return [keys_below(one) for one in value] if isinstance(value, list | tuple) else None


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("plan no-such --json", 2, "no recipe 'no-such'"),
        ("status gone --json", 5, "no run gone"),
        ("smoke r1 --json", 4, "r1: failed, and no longer serves"),
        ("ps --json --older", 2, "No such option: --older"),
        ("--json", 2, "No such option: --json"),
    ],
)
def test_an_error_is_json_too(ask: Ask, run: Run, words: str, code: int, said: str) -> None:
    found, told = ask(words)
    assert (found, told["kind"], told["data"]) == (code, "failure", None)
    (error,) = told["errors"]
    assert (error["exit_code"], said in error["message"]) == (code, True)
    assert not error["message"].startswith("dsr1: ")


def test_a_verb_that_fails_has_its_answer_and_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    answer = PendingAnswer()
    answer.put("smoke", {"passed": False}, [AnswerError("gone", "n1")])
    answer.fail("r1: rank 0", 4)
    answer.flush()
    answer.flush()
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["data"]) == ("smoke", {"passed": False})
    assert [(one["host"], one["exit_code"]) for one in told["errors"]] == [("n1", None), ("", 4)]


def test_times_are_isos_and_lists_hold_data_alone(ask: Ask, run: Run) -> None:
    _, told = ask("status r1 --json")
    data = told["data"]
    assert data["since"] == "2026-11-26T21:00:48Z"
    assert data["ranks"] == [
        {
            "engine": "main",
            "rank": 0,
            "host": "localhost",
            "process": "main-0",
            "phase": "loading",
            "done": 3,
            "total": 9,
            "since": "2026-11-26T21:00:48Z",
        }
    ]
    assert data["ailing"][0]["since"] == "2026-11-26T21:00:48Z"
    assert (data["ready_after_s"], data["alive"], data["serves"]) == (2.5, [], False)
    assert (data["run"], data["recipe"], data["hosts"]) == ("r1", "dsr1-slice", ["localhost"])
    _, listed = ask("ps --json")
    (row,) = listed["data"]
    service = run.plan().service
    assert row["url"] == data["url"] == service.url
    assert (row["model"], data["model"]) == (service.model, service.model)


def test_ids_survive_a_reader_of_floats() -> None:
    assert _text(2**53 + 1) == "9007199254740993"
    assert _text(None) is None


@pytest.mark.parametrize("odd", [None, 0, 1e30, -1e30])
def test_no_time_is_none(odd: float | None) -> None:
    assert iso_time(odd) is None


def test_a_line_of_a_stream_is_one_line() -> None:
    assert "\n" not in render_envelope("log-line", {"text": "a\nb"}, indent=None)


GOLDEN = Path(__file__).parents[3] / "golden" / "json" / "keys.json"


def all_keys(kind: str) -> dict[str, list[str]]:
    """By type. Versions of pydantic differ in the rest."""
    schema = answer_schema(kind)
    types = {**schema["$defs"], "data": schema["properties"]["data"]}
    return {name: sorted(one["properties"]) for name, one in types.items() if "properties" in one}


def test_the_forms_of_answers_are_as_they_were() -> None:
    """What is removed or renamed here breaks somebody's script: give the envelope another schema.
    `python tests/unit/launcher/cli/test_answers.py` writes the file anew."""
    golden = json.loads(GOLDEN.read_text())
    assert {kind: all_keys(kind) for kind in KINDS} == golden
    assert {answer_schema(kind)["properties"]["schema"]["const"] for kind in KINDS} == {"dsr1/1"}


def test_whatever_a_verb_answers_has_a_form() -> None:
    put = re.compile(r"""(?:ANSWER\.put|print_line)\(\s*"([a-z-]+)\"""")
    sources = (file.read_text() for file in CLI.rglob("*.py"))
    assert {kind for text in sources for kind in put.findall(text)} == set(KINDS)


STATUS = """alive alive_by_host ailing cause engines exit_code hosts job lacks launched_at left model note
notes phase ranks ready_after_s reason recipe restarts run serves since supervised url"""


def test_the_keys_of_a_status_are_as_they_were(ask: Ask, run: Run) -> None:
    assert set(STATUS.split()) <= set(ask("status r1 --json")[1]["data"])


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({kind: all_keys(kind) for kind in KINDS}, indent=1) + "\n")
