"""Points as they are written down, read back and compared."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.fleet import fleet_plan, fleet_run, fleet_snapshot
from tests.unit.launcher.benchmark.test_judging import sent

from dsr1.hosts.errors import InputError
from dsr1.hosts.protocol.jobs.messages import JobProgress
from dsr1.hosts.transport.connect import HERE
from dsr1.launcher.benchmark.by_hand import on_other_ports
from dsr1.launcher.benchmark.comparing import compare_points
from dsr1.launcher.benchmark.drivers import BenchTarget, VllmBench
from dsr1.launcher.benchmark.judging import judge_requests
from dsr1.launcher.benchmark.measure import Measured, make_point, shown_workload
from dsr1.launcher.benchmark.point import METRICS, BenchPoint, ServerWindow, Sla, metric_of
from dsr1.launcher.benchmark.servers import make_server_window
from dsr1.launcher.benchmark.session import alone, default_source, longest_request, total_gpus
from dsr1.launcher.benchmark.store import (
    GrowingResult,
    find_results,
    read_results,
    save_result,
)
from dsr1.launcher.benchmark.workload import Workload, WorkloadFile
from dsr1.launcher.cli.options.bench import CriteriaOptions, DriverOptions, LoadOptions
from dsr1.launcher.cli.views.bench import comparison_text, points_text, render_progress
from dsr1.launcher.recipe.load import parse_recipe

LOAD = Workload(8, 11, 2, None, 4)
TARGET = BenchTarget("http://a:1", "r1", "/m", gpus=4)
Call = Callable[..., int]


def point(
    slower: float = 1.0, load: Workload = LOAD, target: BenchTarget = TARGET, hits: float = 0.0
) -> BenchPoint:
    plain = sent()
    late = replace(plain, whole_s=tuple(value * slower for value in plain.whole_s))
    server = ServerWindow(snapshots=2, prefix_hits=hits)
    at = datetime(2026, 11, 27, tzinfo=UTC)
    measured = Measured(at, judge_requests(late, load), (2, 3), {}, server)
    return make_point("h", target, VllmBench("p", "0.31"), load, Sla(2.0), measured)


def test_a_point() -> None:
    one = point()
    assert one.at == "2026-11-27T00:00:00Z"
    assert (one.counted, one.sent, one.failed, one.gpus) == (4, 4, 0, 4)
    assert one.output_tokens_s == pytest.approx(8.8)
    assert one.output_tokens_s_gpu == pytest.approx(2.2)
    assert one.output_tokens_s_user == pytest.approx(10)
    assert one.notes == ()
    assert BenchPoint.model_validate_json(one.model_dump_json()) == one
    assert all(metric_of(one, name) is not None for name in METRICS)


def test_what_makes_a_number_mean_something_else_is_said() -> None:
    notes = " ".join(point(hits=0.5, load=replace(LOAD, isl=100)).notes)
    assert "the server counted 8 tokens a prompt, not 100" in notes
    assert "50% of the prompts' tokens came from the prefix cache" in notes
    assert point(target=replace(TARGET, gpus=0)).output_tokens_s_gpu is None


def test_ratio_and_spread() -> None:
    one = [point(1.0), point(1.1), point(1.0)]
    other = [point(2.0, replace(LOAD, seed=9)), point(2.1), point(2.2)]
    rows = {row.metric: row for row in compare_points(one, other)}
    e2e = rows["e2e_ms.p50"]
    assert (e2e.one.count, e2e.one.median, e2e.one.most) == (3, 2000, 2200)
    assert e2e.ratio == pytest.approx(2.1)
    assert e2e.apart is True
    assert rows["ttft_ms.p50"].apart is False
    text = comparison_text(("r1", "r2"), tuple(rows.values()))
    assert "2000 (2000 to 2200)" in text
    line = next(line for line in text.splitlines() if line.startswith("E2E p50"))
    assert line.endswith("2.100  worse")
    assert "no difference beyond the spread" in text


def test_one_measurement_shows_no_spread() -> None:
    rows = compare_points([point()], [point(), point()])
    assert {row.apart for row in rows} == {None}
    assert compare_points([point()], [point(load=replace(LOAD, concurrency=8))]) == ()


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))
    return tmp_path


def test_results_belong_to_the_run(state: Path) -> None:
    run = fleet_run(state, fleet_plan("r1"))
    assert save_result(run, (point(),)).name == "r1:1"
    assert save_result(run, (point(2.0),), "by hand").name == "r1:2 (by hand)"
    (run.folder / "bench" / "3.json").write_text('{"run": ')
    assert [one.number for one in read_results(run)] == [1, 2]
    assert [one.number for one in find_results("r1")] == [1, 2]
    assert [one.number for one in find_results("r1:2")] == [2]
    assert find_results(str(run.folder / "bench" / "1.json"))[0].points == (point(),)
    for name in ("r1:7", "r1:x", str(state / "none.json"), str(run.folder / "bench" / "3.json")):
        with pytest.raises(InputError, match=r"no result|can't be read"):
            find_results(name)


def test_what_was_measured_is_kept_point_by_point(state: Path) -> None:
    """So that no interruption, not even SIGKILL, takes it away."""
    run = fleet_run(state, fleet_plan("r1"))
    own, other = GrowingResult(run), GrowingResult(run, "by hand")
    assert read_results(run) == []
    counts = []
    for kept in (own, other, other, own, own):
        kept.add(point())
        counts.append([len(one.points) for one in read_results(run)])
    assert counts == [[1], [1, 1], [1, 2], [2, 2], [3, 2]]
    assert [own.saved, other.saved] == read_results(run)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--launcher-cost", "--url", "http://a:1"), "it goes without --url http://a:1"),
        (("--launcher-cost", "--compare", "r2"), "exclude each other"),
        (("--setup", "--compare", "r2"), "exclude each other"),
    ],
)
def test_nothing_that_is_asked_is_passed_over(
    options: tuple[str, ...],
    words: str,
    state: Path,
    call: Call,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fleet_run(state, fleet_plan("r1"))
    assert call("bench", "r1", "--isl", "1", "--osl", "1", "--concurrency", "1", *options) == 2
    assert words in capsys.readouterr().err


def test_a_load_in_words() -> None:
    rate = replace(LOAD, rate=2.5)
    file = replace(LOAD, file=WorkloadFile("trace", "/a/b c.jsonl", ()))
    said = [shown_workload(one).words for one in (LOAD, rate, file)]
    assert said == [
        "ISL 8 / OSL 11, 2 at once",
        "ISL 8 / OSL 11, 2.5 requests/s, 2 at once",
        "trace b c.jsonl, 2 at once",
    ]


def test_the_verb_compares(state: Path, call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    for name, slower in (("r1", 1.0), ("r2", 2.0)):
        save_result(fleet_run(state, fleet_plan(name)), (point(slower),))
    assert call("bench", "r1", "--compare", "r2") == 0
    assert "measured fewer than 3 times" in capsys.readouterr().out
    assert call("bench", "r1", "--compare", "r2", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["kind"] == "bench-comparison"
    assert told["data"]["rows"][0]["ratio"] == pytest.approx(5 / 7)
    assert call("bench", "r1", "--compare", "never") == 5


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--concurrency", "0", "--isl", "1", "--osl", "1"), "--concurrency 0: must be a whole"),
        (("--concurrency", "4,x"), "--concurrency x: must be"),
        (("--concurrency", "1.5"), "--concurrency 1.5: must be a whole number"),
        (("--rate", "0"), "--rate 0: must be a number above 0"),
        (("--rate", "nan"), "--rate nan: must be"),
        (("--rate", "1", "--concurrency", "1,2"), "with --rate it bounds it"),
        (("--rounds", "0"), "--rounds 0"),
        (("--rounds", "65", "--concurrency", "1"), "one call measures 64 at most"),
        (("--seed", "-1"), "--seed -1"),
        (("--trace", "a", "--dataset", "b"), "--trace and --dataset exclude each other"),
        (("--trace", "/nowhere/t"), "/nowhere/t: can't be read"),
        (("--ttft", "soon", "--concurrency", "1"), "--ttft soon"),
        (("--itl", "0ms", "--concurrency", "1"), "--itl 0ms"),
        (("--itl", "xms", "--concurrency", "1"), "--itl xms"),
        (("--max-errors", "1", "--concurrency", "1"), "--max-errors 1"),
        (("--max-errors", "nan", "--concurrency", "1"), "--max-errors nan"),
        (
            ("--driver", "wrk", "--concurrency", "1"),
            "--driver wrk: unknown; there are vllm, aiperf",
        ),
        (("--cpus", "3-", "--concurrency", "1"), "fleet"),
        (("--cpus", "a", "--concurrency", "1"), "--cpus a: must be CPUs"),
        (("--cpus", "5-2", "--concurrency", "1"), "--cpus 5-2: must be CPUs"),
        (("--isl", "x"), "--isl"),
    ],
)
def test_bad_input(
    argv: tuple[str, ...],
    words: str,
    state: Path,
    call: Call,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of a run that serves no more the code is 4, after what was given wrong."""
    fleet_run(state, fleet_plan("fleet"))
    code = call("bench", "fleet", *argv)
    assert words in capsys.readouterr().err
    assert code == (4 if words == "fleet" else 2)


def test_loads_of_options() -> None:
    """Prompts of every point are its own: the prefix cache knows those of the others."""
    loads = LoadOptions(isl=10, osl=5, concurrency="2, 8", rounds=2, seed=3).workloads()
    assert [(one.concurrency, one.seed) for one in loads] == [(2, 3), (8, 4), (2, 5), (8, 6)]
    assert [(one.warmup, one.counted, one.cooldown) for one in loads[:2]] == [(1, 8, 1), (4, 32, 4)]
    (paced,) = LoadOptions(isl=10, osl=5, rate="2.5", concurrency="9").workloads()
    assert (paced.rate, paced.concurrency, paced.counted) == (2.5, 9, 75)
    criteria = CriteriaOptions(ttft="2s", itl="50ms", within="5m").criteria()
    assert (criteria.sla, criteria.within_s) == (Sla(2.0, 0.05), 300)
    assert CriteriaOptions().criteria().sla is None
    assert DriverOptions(cpus="0-2,7,1").cpu_list() == (0, 1, 2, 7)


def test_what_a_person_sees() -> None:
    text = points_text("r1:1", [point(), point(load=replace(LOAD, rate=2.0))])
    head, columns, first, second, *_ = text.splitlines()
    assert head == "r1:1: r1 at http://a:1: ISL 8 / OSL 11; vllm 0.31 from h on CPUs 2-3"
    assert columns.split()[:2] == ["AT", "ONCE"]
    assert first.split() == (
        [
            "2",
            "0.80",
            "8.8",
            "2.2",
            "10.0",
            "15.2",
            "1000.0",
            "1000.0",
            "100.0",
            "100.0",
            "2000.0",
            "2000.0",
            "100%",
            "0/4",
        ]
    )
    assert second.startswith("2/s ")
    assert render_progress("r1", JobProgress(0, 8), 3) == "r1: the driver starts"
    assert render_progress("r1", JobProgress(2, 8), 3) == "r1: 2 of 8 requests, about 9 s left"


def test_the_servers_own_words() -> None:
    plan = fleet_plan()
    looks = [fleet_snapshot(plan, number) for number in range(3)]
    found = make_server_window(looks[0], looks[1:2], looks[2])
    assert found.snapshots == 3
    assert found.generated_tokens is not None
    assert found.generated_tokens > 0
    assert found.kv_usage is not None


def test_what_a_recipe_says_of_a_target() -> None:
    text = """
name: x
model: {path: /m}
engines:
  decode: {nodes: 2, ranks_per_node: 4, tensor_parallel_size: 2, max_model_len: 9000}
  prefill: {nodes: 1, ranks_per_node: 8, role: prefill}
"""
    recipe, plan = parse_recipe(text.replace("decode: {", "decode: {role: decode, "), "x"), None
    assert longest_request(recipe, {}) == 9000
    assert plan is None
    fleet = parse_recipe("name: f\nmodel: {path: /m}\nengines: {main: {nodes: 2}}\n", "f")
    assert total_gpus(fleet.model_copy(update={"stack": "mocker"}), fleet_plan()) == 0


def test_a_report_has_them(state: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(state)
    for name, slower in (("r1", 1.0), ("r2", 2.0)):
        save_result(fleet_run(state, fleet_plan(name)), (point(slower),))
    assert call("report", "r1", "r2") == 0
    page = (state / "r1-r2-report.html").read_text()
    assert "Measured under load" in page
    assert "r2:1: r1 at" in page
    row = page.partition("output tokens/s, vllm, ISL 8 / OSL 11, 2 at once")[2][:80]
    assert "8.8" in row
    assert "6.3" in row


def test_one_call_at_a_time_measures_a_run(state: Path) -> None:
    run = fleet_run(state, fleet_plan("r1"))
    with alone(run):
        pass
    with alone(run), pytest.raises(InputError, match="another `dsr1 bench` measures it"):
        alone(run).__enter__()
    with alone(run):
        pass


@pytest.mark.parametrize(
    ("driver", "place", "lacks", "source"),
    [
        ("vllm", "local", "", HERE),
        ("vllm", "local", "/m/tokenizer.json", HERE),
        ("vllm", "ssh", "", HERE),
        ("vllm", "ssh", "/opt/vllm/bin/python", "node01"),
        ("vllm", "slurm", "", "node01"),
        ("vllm", "allocation", "", "node01"),
        ("aiperf", "slurm", "", HERE),
    ],
)
def test_where_load_comes_from(driver: str, place: str, lacks: str, source: str) -> None:
    assert default_source(driver, place, lacks, "node01") == source


@pytest.mark.parametrize(
    ("base", "port", "moved"), [(20000, 8000, (20500, 8500)), (32000, 31999, (31500, 31499))]
)
def test_by_hand_stands_on_ports_of_its_own(base: int, port: int, moved: tuple[int, int]) -> None:
    text = "name: f\nmodel: {path: /m}\nengines: {main: {}}\n"
    recipe = parse_recipe(f"{text}ports: {{base: {base}}}\nfrontend: {{port: {port}}}\n", "f")
    own = on_other_ports(recipe)
    assert (own.ports.base, own.frontend.port) == moved


def test_answers_in_one_piece_are_said() -> None:
    """As on two busy cores: the first token came with the last."""
    bunched = replace(sent(), whole_s=(1.0, 1.0, 2.0, 2.0))
    at = datetime(2026, 11, 27, tzinfo=UTC)
    measured = Measured(at, judge_requests(bunched, LOAD), (2, 3), {}, None)
    found = make_point("h", TARGET, VllmBench("p"), LOAD, None, measured)
    assert "50% of the answers arrived in one piece" in " ".join(found.notes)
