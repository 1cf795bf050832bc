"""What a deployment would do, from the times of its steps."""

import json
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.launcher.tuning.candidate import Candidate, EnginePart
from dsr1.launcher.tuning.estimate import curve, estimate, knee
from dsr1.launcher.tuning.goal import Figures, TuneGoal, closest, describe_excess, excess
from dsr1.launcher.tuning.mapping.label import parse_mapping
from dsr1.launcher.tuning.npz import render_npz
from dsr1.launcher.tuning.prediction.aiconfigurator import (
    Aiconfigurator,
    find_aiconfigurator,
)
from dsr1.launcher.tuning.prediction.predictor import StepQuestion, predict_mappings
from dsr1.launcher.tuning.prediction.recorded import recorded_tables
from dsr1.launcher.tuning.prediction.table import TimeTable, between

TABLES = {"dep8": TimeTable(((4000.0, 1000.0),), ((1.0, 20.0), (100.0, 60.0)))}
GOAL = TuneGoal(4000, 100)
DEP8 = parse_mapping("dep8")
FIXTURE = Path(__file__).parents[3] / "data" / "aiconfigurator" / "answers-0.12.0.jsonl"


def aggregated(sequences: int = 0, kv_tokens: int = 0) -> Candidate:
    return Candidate((EnginePart("main", "aggregated", DEP8, 1, sequences, kv_tokens),))


def apart(prefill: int = 1, decode: int = 1, sequences: int = 0) -> Candidate:
    giver = EnginePart("prefill", "prefill", DEP8, prefill)
    return Candidate((giver, EnginePart("decode", "decode", DEP8, decode, sequences)))


def test_one_request_alone_takes_its_own_time() -> None:
    one = estimate(aggregated(), TABLES, GOAL, 1)
    assert (one.ttft_ms, one.itl_ms, one.limit) == (1000, 20, "decode")
    assert one.tokens_s_gpu == pytest.approx(100 / 3 / 8)


def test_prompts_of_neighbours_interrupt() -> None:
    """10 a rank: nine prompts of 1000 ms over 100 tokens."""
    crowded = estimate(aggregated(), TABLES, GOAL, 80)
    assert crowded.itl_ms == pytest.approx(20 + 9 * 40 / 99 + 90)
    assert crowded.limit == "prefill"


@pytest.mark.parametrize(
    ("sequences", "kv_tokens", "limit"), [(4, 0, "queue"), (256, 4 * 4100, "KV cache")]
)
def test_what_finds_no_room_waits(sequences: int, kv_tokens: int, limit: str) -> None:
    held = estimate(aggregated(sequences, kv_tokens), TABLES, GOAL, 32)
    waiting = estimate(aggregated(sequences, kv_tokens), TABLES, GOAL, 64)
    assert waiting.limit == limit
    assert waiting.itl_ms == held.itl_ms
    assert waiting.ttft_ms > held.ttft_ms + 1000


def test_prefill_apart_is_a_ceiling() -> None:
    """Eight ranks of a prompt a second: 8 requests a second, whatever is asked."""
    few, many = (estimate(apart(), TABLES, GOAL, count) for count in (4, 4096))
    assert few.limit == "decode"
    assert many.limit == "prefill"
    assert many.tokens_s_gpu == pytest.approx(8 * 100 / 16, rel=0.01)
    assert many.ttft_ms > 100 * few.ttft_ms


def test_a_curve_ends_on_its_plateau() -> None:
    figures = curve(apart(), TABLES, GOAL)
    assert [one.concurrency for one in figures][:3] == [1, 2, 4]
    assert figures[-1].tokens_s_gpu < 1.02 * figures[-2].tokens_s_gpu
    strict = TuneGoal(4000, 100, ttft_ms=1100, itl_ms=30)
    begin = knee(strict, curve(apart(), TABLES, strict))
    assert excess(strict, estimate(apart(), TABLES, strict, begin)) <= 1
    assert knee(TuneGoal(4000, 100, ttft_ms=1), figures) == 1  # nothing meets it: the least load


def test_between_and_beyond_what_is_known() -> None:
    points = ((1.0, 10.0), (3.0, 20.0))
    assert [between(points, at) for at in (1, 2, 3, 5)] == [10, 15, 20, 30]
    assert between(((1.0, 7.0),), 99) == 7


def test_wide_experts_are_extrapolated() -> None:
    for label, notes in (("dep8", ()), ("dep16", ("extrapolated",)), ("dp16", ())):
        one = Candidate((EnginePart("main", "aggregated", parse_mapping(label), 1),))
        assert one.is_wide == bool(notes)
        assert estimate(one, {label: TABLES["dep8"]}, GOAL, 1).notes == notes


def test_how_far_from_the_limits() -> None:
    goal = TuneGoal(1, 2, ttft_ms=100, itl_ms=10)
    far, near = Figures(1, 300, 5, 1, 1), Figures(2, 90, 12, 1, 1)
    assert closest(goal, [far, near]) is near
    assert describe_excess(goal, near) == "ITL 12 ms where 10 is wanted"


@pytest.mark.parametrize(
    ("goal", "words"),
    [
        (TuneGoal(4000, 1000, objective="speed"), "there are throughput, latency, goodput"),
        (TuneGoal(0, 1000), "a prompt has a token"),
        (TuneGoal(4000, 1), "a prompt has a token"),
        (TuneGoal(4000, 1000, objective="goodput"), "needs --ttft or --itl"),
    ],
)
def test_a_goal_that_is_none(goal: TuneGoal, words: str) -> None:
    with pytest.raises(InputError, match=words):
        goal.check()


def environment(folder: Path, script: str) -> Path:
    """Whose Python answers as AIConfigurator once did."""
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return find_aiconfigurator(str(folder))


QUESTIONS = [
    StepQuestion("decode", 16, 1, True, 64, 4000, 1000),
    StepQuestion("prefill", 1, 8, False, 1, 4000, 1000),
    StepQuestion("decode", 1, 8, True, 8, 4000, 1000),
]


def test_a_predictor_behind_its_recorded_answers(tmp_path: Path) -> None:
    """Recorded of the worker and aiconfigurator 0.12.0; the last asked for a GPU that it doesn't know."""
    python = environment(tmp_path, f"cat > {tmp_path}/asked; cat {FIXTURE}")
    answers = Aiconfigurator(python, "h200").ask(QUESTIONS)
    assert answers[:2] == [65.70740279848361, 217.2045801138624]
    assert str(answers[2]).startswith("ValueError: No database found")
    asked = [json.loads(line) for line in (tmp_path / "asked").read_text().splitlines()]
    assert asked[0] == {
        "phase": "decode", "data": 16, "tensor": 1, "experts": True, "batch": 64, "isl": 4000, "osl": 1000,
        "model": "deepseek-ai/DeepSeek-R1", "system": "h200_sxm",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ("echo broken >&2; exit 1", "0 of 3 questions answered: broken"),
        ("echo '{\"ms\": 1.0}'", "1 of 3 questions"),
    ],
)
def test_a_predictor_that_ends_early(answers: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(LaunchFailed, match=words):
        Aiconfigurator(environment(tmp_path, answers), "h200").ask(QUESTIONS)


def test_nonsense_is_no_time(tmp_path: Path) -> None:
    lines = '[1]\nnull\n{"ms": NaN}\n{"ms": -1.0}\n{"ms": "5"}\nnot json\n'
    (tmp_path / "lines").write_text(lines)
    python = environment(tmp_path / "env", f"cat {tmp_path}/lines")
    answers = Aiconfigurator(python, "h200").ask([QUESTIONS[0]] * 6)
    assert all(isinstance(one, str) for one in answers)


def test_no_environment() -> None:
    with pytest.raises(InputError, match="dsr1 tune --setup"):
        find_aiconfigurator("/no/such/folder")


class Half:
    """Knows decode of small batches alone."""

    source = "half"

    def ask(self, questions: list[StepQuestion]) -> list[float | str]:
        known = [(one.phase == "prefill" and one.data == 1) or one.batch == 8 for one in questions]
        return [1.0 if one else "not known" for one in known]


def test_a_mapping_without_times_has_no_table() -> None:
    mappings = [parse_mapping("tp8"), parse_mapping("dep8")]
    tables, refused = predict_mappings(Half(), mappings, 4000, 1000)  # type: ignore[arg-type]
    assert set(tables) == {"tp8"}
    assert tables["tp8"].decode == ((8.0, 1.0),)
    assert refused == {"dep8": "not known"}


@pytest.mark.parametrize("gpu", ["h100", "h200"])
def test_what_was_recorded_is_of_every_usual_mapping(gpu: str) -> None:
    tables = recorded_tables(gpu)
    assert {"tp8", "tep8", "dp8", "dep8", "dep16", "dep32", "dp2xtp4"} <= set(tables)
    for table in tables.values():
        steps = [ms for _, ms in table.decode]
        assert steps == sorted(steps)


def test_an_npz_is_what_numpy_reads() -> None:
    """By the format's own words: magic, version, a header that ends at a multiple of 64."""
    with zipfile.ZipFile(BytesIO(render_npz({"a": [1.0, 2.0], "b": [[1.0], [2.0]]}))) as archive:
        a, b = archive.read("a.npy"), archive.read("b.npy")
    assert a[:8] == b"\x93NUMPY\x01\x00"
    assert len(a) == 128 + 16
    assert a[:128].endswith(b"\n")
    assert b"'shape': (2,)" in a
    assert b"'shape': (2, 1)" in b
