"""What a driver's point comes to, what hosts say of themselves, and what a rehearsal is made of."""

import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from dsr1.hosts.protocol.facts.fact import Fact
from dsr1.launcher.benchmark.point import (
    BenchPoint,
    Goodput,
    Quantiles,
    ServerWindow,
    WorkloadShown,
)
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.tuning.candidate import Candidate, EnginePart
from dsr1.launcher.tuning.goal import TuneGoal
from dsr1.launcher.tuning.mapping.label import parse_mapping
from dsr1.launcher.tuning.measure import limit_of, make_figures
from dsr1.launcher.tuning.place_facts import judge_place
from dsr1.launcher.tuning.prediction.table import TimeTable
from dsr1.launcher.tuning.rehearsal import rehearsed_goal, rehearsed_recipe, render_profile

GOAL = TuneGoal(4000, 100, 2000, 50)


def quantiles(usual: float, p90: float) -> Quantiles:
    return Quantiles(mean=usual, p50=usual, p90=p90, p95=p90, p99=p90, least=usual, most=p90)


def point(ttft: float = 100, server: ServerWindow | None = None) -> BenchPoint:
    return BenchPoint(
        driver="vllm",
        driver_version="",
        model="m",
        url="",
        source="here",
        source_cpus=(),
        at="",
        workload=WorkloadShown(
            isl=4000, osl=100, concurrency=16, rate=None, requests=64, warmup=8, cooldown=8, seed=0
        ),
        gpus=0,
        seconds=10,
        sent=80,
        counted=64,
        failed=0,
        failures={},
        tokens_in=4000,
        tokens_out=100,
        ttft_ms=quantiles(ttft, 2 * ttft),
        itl_ms=quantiles(5, 8),
        e2e_ms=quantiles(600, 700),
        requests_s=6.4,
        output_tokens_s=640,
        total_tokens_s=1000,
        output_tokens_s_gpu=None,
        total_tokens_s_gpu=None,
        output_tokens_s_user=200,
        goodput=Goodput(limits={}, requests_s=3.2, share=0.5),
        server=server,
    )


def test_figures_are_in_real_time_and_of_a_gpu() -> None:
    found = make_figures(point(), gpus=16, speedup=5)
    assert (found.concurrency, found.ttft_ms, found.itl_ms) == (16, 1000, 40)
    assert (found.tokens_s_gpu, found.tokens_s_user, found.good_s_gpu) == (8, 40, 0.04)


@pytest.mark.parametrize(
    ("ttft", "server", "limit"),
    [
        (100, None, "decode"),
        (400, None, "prefill"),
        (100, ServerWindow(snapshots=2, kv_usage=0.97), "KV cache"),
        (100, ServerWindow(snapshots=2, preemptions=1), "KV cache"),
        (100, ServerWindow(snapshots=2, waiting=4), "queue"),
        (100, ServerWindow(snapshots=2, waiting=1, kv_usage=0.5), "decode"),
    ],
)
def test_what_keeps_it_from_more(ttft: float, server: ServerWindow | None, limit: str) -> None:
    assert limit_of(point(ttft, server)) == limit


def fact(value: object) -> Fact:
    return Fact(value, "test")  # type: ignore[arg-type]


def test_hosts_say_what_they_are() -> None:
    h100 = {
        "gpu.devices": fact([{"name": "NVIDIA H100 80GB HBM3"}]),
        "software": fact({"vllm": "0.31.0"}),
    }
    h200 = {"gpu.devices": fact([{"name": "NVIDIA H200"}])}
    assert judge_place([h200, h100]).gpu == "h100"
    assert judge_place([h100]).versions == ("nvidia h100 80gb hbm3", "vllm 0.31.0")
    assert judge_place([h200]).gpu == "h200"
    assert judge_place([{"gpu.devices": fact(None), "software": fact("?")}, {}]).versions == ()


def test_a_rehearsal_is_short_and_takes_its_times_from_the_table(tmp_path: Path) -> None:
    assert rehearsed_goal(TuneGoal(100_000, 1000)) == TuneGoal(4096, 64)
    part = EnginePart("main", "aggregated", parse_mapping("dep8"), 1)
    recipe = load_recipe("dsr1-dep")
    simulated = rehearsed_recipe(recipe, Candidate((part,)), {"dep8": tmp_path / "a b.npz"})
    assert simulated.stack == "mocker"
    args = simulated.engines["main"].args
    assert args["planner-profile-data"] == str(tmp_path / "a b.npz")
    assert Recipe.model_validate_json(simulated.model_dump_json()) == simulated
    table = TimeTable(((1000.0, 100.0), (4000.0, 400.0)), ((1.0, 20.0), (8.0, 30.0)))
    with zipfile.ZipFile(BytesIO(render_profile(table, GOAL))) as archive:
        assert {one.removesuffix(".npy") for one in archive.namelist()} == {
            "prefill_isl", "prefill_ttft_ms", "decode_active_kv_tokens", "decode_context_length", "decode_itl",
        }  # fmt: skip
