"""A report is one page that loads nothing, hands no secret on, and lets no name be markup."""

import html
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.fleet import AILING, START, fleet_plan, fleet_run, fleet_snapshot

from dsr1.launcher.cli.launch import value_sources
from dsr1.launcher.cli.options.recipe import RecipeOptions
from dsr1.launcher.metrics.store import add_snapshot
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.report.charts import HEIGHT, make_charts
from dsr1.launcher.report.masking import mask_values, mask_words
from dsr1.launcher.run.ranks import Moment, RankTable, all_ready, first_table
from dsr1.launcher.run.record.history import Change, record
from dsr1.launcher.run.record.smoked import SmokedRank, SmokeRecord, save_smoke
from dsr1.launcher.run.record.sources import save_sources
from dsr1.launcher.run.record.starts import record_phases
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run

HOSTILE = "</td><script>alert(1)</script><img src=x onerror=y> {{ 7 * 7 }} \x1b[31m"
PHASES = ("importing", "loading", "warming up", "capturing", "registering")
Call = Callable[..., int]


def filled(folder: Path, name: str) -> Run:
    plan = fleet_plan(name)
    run = fleet_run(folder, plan)
    table = first_table(plan, Moment(START, 0.0))
    record_phases(run, (), table)
    for number, phase in enumerate(PHASES, 1):
        before, table = table, moved(table, phase, number)
        record_phases(run, before, table)
    record_phases(run, table, all_ready(table, Moment(START + 65, 65.0)))
    for look in range(8):
        add_snapshot(run.folder, fleet_snapshot(plan, look))
    record(run, Change(START + 65, "supervisor", "ready"))
    record(run, Change(START + 90, "supervisor", "failed", HOSTILE, "decode", 9, AILING.host))
    return run


def moved(table: RankTable, phase: str, number: int) -> RankTable:
    return tuple(
        replace(row, phase=phase, since=START + 10 * number + row.rank % 8 / 4) for row in table
    )


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("SITE_API_KEY", "s3cr3t-of-this-site")
    return tmp_path


class Tags(HTMLParser):
    """Which elements a page has, and what they would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        wanted = ("src", "href", "srcset", "data", "xlink:href", "action")
        self.loads += [name for name, _ in attrs if name in wanted or name.startswith("on")]


def test_a_page_of_its_own(state: Path, call: Call) -> None:
    run = filled(state, "r1")
    words = f"{HOSTILE} token s3cr3t-of-this-site"
    run.save(RunState("failed", START + 99, reason=words, notes=("MY_TOKEN=abcdefgh1",)))
    assert call("report", "r1", "--to", str(state / "r.html")) == 0
    text = (state / "r.html").read_text()
    tags = Tags(text)
    assert tags.loads == []
    assert not tags.names & {"script", "img", "link", "iframe", "object", "base", "form"}
    assert "url(" not in text
    assert "@import" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "{{ 7 * 7 }} \\x1b[31m" in text
    for secret in ("s3cr3t-of-this-site", "abcdefgh1", "10.0.0.1"):
        assert secret not in text
    assert text.count("<polyline") > 5
    assert text.count("<rect") == 64 * 6  # the slowest ranks' phases
    assert "and 64 more ranks, none slower" in text
    assert "decode rank 9" in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert (state / "r.html").stat().st_mode & 0o077 == 0


def test_it_is_written_once(state: Path, call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    filled(state, "r1")
    target = str(state / "r.html")
    assert call("report", "r1", "--to", target) == 0
    assert call("report", "r1", "--to", target) == 2
    assert "name another with --to" in capsys.readouterr().err
    assert call("report", "nobody", "--to", target) == 5


def test_two_runs_beside_each_other(state: Path, call: Call) -> None:
    filled(state, "r1")
    other = filled(state, "r2")
    other.save(RunState("stopped", START, ready_after=99.0))
    assert call("report", "r1", "r2", "--to", str(state / "both.html")) == 0
    text = (state / "both.html").read_text()
    differing = text[text.index("What differs") : text.index("<article>")]
    assert re.search(r"<th>phase</th><td>degraded</td><td>stopped</td>", differing)
    assert re.search(r"<th>ready after</th><td>65.0 s</td><td>99.0 s</td>", differing)
    assert "hosts" not in differing
    assert text.count("<article>") == 2
    assert "The last start of this recipe: r1" not in text  # they began at the same moment


def test_where_each_value_came_from(state: Path, call: Call) -> None:
    """Of the launch; what has another value since is told as such, and a secret in no way."""
    recipe = state / "mine.yaml"
    recipe.write_text(
        "extends: dsr1-dep\nmodel: {path: /m}\nruntime: {env: {MY_TOKEN: s3cr3t-one}}\n"
        "engines: {main: {max_num_seqs: 99, max_model_len: 2048}}\ntimeouts: {ready: 90s}\n"
    )
    asked = RecipeOptions(str(recipe), changes=["engines.main.env.A_PASSWORD=s3cr3t-two"])
    sources = value_sources(asked.resolve())
    assert sources["timeouts.ready"].source == f"{recipe}:5"
    run = filled(state, "r1")
    save_sources(run, sources)
    changed = load_recipe(str(recipe), ["engines.main.max_num_seqs=100", "logs.keep=7"])
    run._write("recipe.json", changed.model_dump())
    assert call("report", "r1", "--to", str(state / "r.html")) == 0
    text = html.unescape((state / "r.html").read_text())
    assert "s3cr3t" not in text
    lines = {key: " ".join(rest.split()) for key, _, rest in map(parted, text.splitlines())}
    assert lines["max_model_len"] == f"2048 # {recipe}:4"
    assert lines["max_num_seqs"] == f"100 # changed since, or by --rehearse; 99 by {recipe}:4"
    assert lines["MY_TOKEN"].startswith("'[secret]' # ")
    assert lines["keep"] == "7 # default"  # of a launch that nobody has told of it


def parted(line: str) -> tuple[str, str, str]:
    return line.strip().partition(": ")


def test_what_smoke_saw_last(state: Path, call: Call) -> None:
    run = filled(state, "r1")
    ranks = (SmokedRank("decode rank 0", "", 0.25, 31.0), SmokedRank("decode rank 1", HOSTILE))
    save_smoke(run, SmokeRecord(START, problems=(f"rank 1 {HOSTILE}",), ranks=ranks))
    assert call("report", "r1", "--to", str(state / "r.html")) == 0
    text = (state / "r.html").read_text()
    assert "<td>decode rank 0</td><td>0.25 s</td><td>31</td><td></td>" in text
    assert not Tags(text).names & {"script", "img"}
    (run.folder / "smoke.json").write_text('{"time": 1e999}')
    (run.folder / "recipe-sources.json").write_text("[" * 10**6)
    assert call("report", "r1", "--to", str(state / "again.html")) == 0
    again = (state / "again.html").read_text()
    assert "Nobody has asked" in again
    assert again.count("smoke.json: can&#39;t be read") == 1
    assert again.count("recipe-sources.json: can&#39;t be read") == 1


def test_a_run_that_came_to_nothing(state: Path, call: Call) -> None:
    """Neither a plan nor anything that was read."""
    run = Run(state / "runs" / "r0")
    run.folder.mkdir(parents=True)
    run.save(RunState("failed", START, reason="node01 is not fit"))
    assert call("report", "r0", "--to", str(state / "r0.html")) == 0
    text = (state / "r0.html").read_text()
    assert "node01 is not fit" in text
    assert "can&#39;t be read: " in text
    assert text.count('class="warn"') == 3


def test_secrets_with_blanks_are_masked_as_a_whole() -> None:
    argv = ("vllm", "--api-key", "two words", "--api-key=a b", "--max-tokens", "5", "-x")
    assert list(mask_words(argv)) == [
        "vllm", "--api-key", "[secret]", "--api-key=[secret]", "--max-tokens", "5", "-x",
    ]  # fmt: skip
    plain = {"env": {"MY_TOKEN": "two words", "A": "b"}, "tokens": ["x"], "api_keys": 5}
    masked = {"env": {"MY_TOKEN": "[secret]", "A": "b"}, "tokens": ["x"], "api_keys": 5}
    assert mask_values(plain) == masked


def test_charts_stay_within_their_frame() -> None:
    plan = fleet_plan()
    charts = make_charts([fleet_snapshot(plan, look) for look in range(8)])
    assert [chart.title for chart in charts][:3] == [
        "Tokens a second",
        "Requests",
        "KV cache, the fullest rank",
    ]
    points = [p for c in charts for line in c.lines for part in line.parts for p in part.split()]
    assert all(0 <= float(p.split(",")[1]) <= HEIGHT for p in points)
    assert make_charts([fleet_snapshot(plan, 1)]) == ()
