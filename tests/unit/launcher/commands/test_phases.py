"""The phase rules against captures of real starts: the exact order of phases, and their
counters."""

import re
from pathlib import Path

import pytest

from dsr1.hosts.agent.process.progress import ProgressReader, ProgressStep
from dsr1.hosts.protocol.process import PhaseRule
from dsr1.launcher.commands.phases import DYNAMO_PHASES, MOCKER_PHASES, PHASES, VLLM_PHASES

LOGS = Path(__file__).parents[3] / "data" / "vllm-logs"
GPU = [
    (None, "importing"),
    (None, "initialising"),
    (None, "connecting"),
    (None, "loading"),
    (None, "compiling"),
    (None, "profiling"),
    (None, "warming up"),
    (None, "capturing"),
    (None, "registering"),
]
STUCK = [(None, "importing")]


def cpu(rank: int) -> list[tuple[int | None, str]]:
    """An eager start on CPU: the EngineCore and the Worker tell their rank, rank 0's bar and
    Dynamo's line none."""
    bar: list[tuple[int | None, str]] = [(None, "loading")] if rank == 0 else []
    return [
        *STUCK,
        (rank, "initialising"),
        (None, "connecting"),
        (rank, "loading"),
        *bar,
        (rank, "registering"),
        (None, "registering"),
    ]


EXPECTED = {
    "h100-r1-5layer-cold-start": GPU,
    "h100-r1-5layer-small-batch-cold": GPU,
    "h100-r1-5layer-small-batch-warm": GPU,
    "cpu/ext_noip_w0": STUCK,
    "cpu/ext_noip_w1": STUCK,
    "cpu/ext_w0_KILL_w0": cpu(0),
    "cpu/ext_w0_KILL_w1": cpu(1),
    "cpu/ext_w1_ENG_w0": cpu(0),
    "cpu/ext_w1_ENG_w1": cpu(1),
    "cpu/hl_base_w0": cpu(0),
    "cpu/hl_base_w1": cpu(1)[:-1],
}


STARTS = Path(__file__).parents[3] / "data" / "h200-x4" / "starts"


def test_graphs_that_are_captured_twice_dont_hide_the_warm_up_between() -> None:
    """vLLM 0.31 captures them first to know their memory; DeepGEMM's long warm-up comes after
    that."""
    steps = read((STARTS / "dynamo-cold" / "main-0.log").read_bytes())
    begun = list(dict.fromkeys(step.phase for step in steps))
    assert begun == [
        "importing",
        "initialising",
        "connecting",
        "loading",
        "profiling",
        "warming up",
        "registering",
    ]
    assert (266, 432) in counters(steps, "warming up")


def test_the_second_capture_is_the_capture() -> None:
    steps = read((STARTS / "dynamo-second" / "main-0.log").read_bytes())
    begun = list(dict.fromkeys(step.phase for step in steps))
    assert begun[-4:] == ["profiling", "warming up", "capturing", "registering"]


def data(name: str) -> bytes:
    return (LOGS / f"{name}.log").read_bytes()


def read(*chunks: bytes, rules: tuple[PhaseRule, ...] = DYNAMO_PHASES) -> list[ProgressStep]:
    reader = ProgressReader(rules)
    return [step for chunk in chunks for step in reader.feed(chunk)]


def phases(steps: list[ProgressStep]) -> list[tuple[int | None, str]]:
    return list(dict.fromkeys((step.rank, step.phase) for step in steps))


def counters(steps: list[ProgressStep], phase: str) -> list[tuple[int | None, int | None]]:
    return [(step.done, step.total) for step in steps if step.phase == phase]


def test_every_capture_is_expected() -> None:
    assert {str(path.relative_to(LOGS).with_suffix("")) for path in LOGS.rglob("*.log")} == set(
        EXPECTED
    )


@pytest.mark.parametrize("name", EXPECTED)
def test_phases_of_a_real_start(name: str) -> None:
    assert phases(read(data(name))) == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_chunks_change_nothing(name: str, size: int) -> None:
    whole = data(name)
    assert read(*(whole[at : at + size] for at in range(0, len(whole), size))) == read(whole)


@pytest.mark.parametrize(
    ("name", "total"), [("cold-start", 1479), ("small-batch-cold", 308), ("small-batch-warm", 308)]
)
def test_deepgemm_warmup_counts_to_its_end(name: str, total: int) -> None:
    seen = counters(read(data(f"h100-r1-5layer-{name}")), "warming up")
    assert seen[0] == (0, total)
    assert seen[-1] == (total, total)
    assert seen == sorted(seen)


def test_both_capture_bars_are_told() -> None:
    seen = counters(read(data("h100-r1-5layer-cold-start")), "capturing")
    assert (19, 19) in seen
    assert seen[-1] == (11, 11)


def test_vllm_alone_registers_with_its_own_line() -> None:
    assert phases(read(data("cpu/hl_base_w0"), rules=VLLM_PHASES)) == cpu(0)[:-1]


@pytest.mark.parametrize(
    ("prefix", "rank"),
    [
        ("(EngineCore_DP12 pid=1) ", 12),
        ("(Worker_DP1_EP1 pid=1) ", 1),
        ("(Worker_DP1_TP0_EP2 pid=1) ", 1),
        ("(Worker_TP0_EP0 pid=1) ", None),
        ("(EngineCore pid=1) ", None),
        ("", None),
    ],
)
def test_rank_of_a_prefix(prefix: str, rank: int | None) -> None:
    assert read(f"{prefix}INFO Starting to load model /m\n".encode()) == [
        ProgressStep("loading", rank, None, None)
    ]


@pytest.mark.parametrize("rules", [VLLM_PHASES, DYNAMO_PHASES, MOCKER_PHASES])
def test_rules_keep_to_the_order_of_phases(rules: tuple[PhaseRule, ...]) -> None:
    named = list(dict.fromkeys(rule.phase for rule in rules))
    assert named == [phase for phase in PHASES if phase in named]
    assert not {"starting", "ready"} & set(named)
    assert all(re.compile(rule.pattern) for rule in rules)


def test_a_mocker_registers() -> None:
    """Its lines are coloured; this one is from Dynamo 1.6.1."""
    log = (
        b"\x1b[32m INFO\x1b[0m \x1b[2mshared_tcp_endpoint\x1b[0m: Registered endpoint"
        b" 'demo.backend.generate' with\n"
    )
    assert phases(read(log, rules=MOCKER_PHASES)) == [(None, "registering")]
