"""What the plan says of how the model is read."""

from collections.abc import Mapping

import pytest
from tests.unit.env.test_model_checks import facts

from dsr1.hosts.protocol.facts.fact import Facts, FactValue
from dsr1.hosts.protocol.runtime import FlagParser, RuntimeAnswer
from dsr1.launcher.plan.model_loading import loading_notes
from dsr1.launcher.recipe.load import load_recipe

FLAGS = ("--safetensors-load-strategy", "--enable-ep-weight-filter", "--load-format")
VLLM = RuntimeAnswer(vllm="0.31.0", parsers=(FlagParser("dynamo.vllm", FLAGS),))
OLD = RuntimeAnswer(vllm="0.9.0", parsers=(FlagParser("dynamo.vllm", ("--load-format",)),))
MUCH, LITTLE = 2 * 10**12, 700 * 10**9


def told(kind: str, memory: int) -> Facts:
    fs: FactValue = {"type": kind, "mount": "/m", "source": "s", "free": 1}
    return facts(model_fs=fs, memory_available=memory)


def notes(site: Mapping[str, Facts], answer: RuntimeAnswer = VLLM, *changes: str) -> list[str]:
    plain = ("engines.main.args={}", *changes)
    return list(loading_notes(load_recipe("dsr1-dep", plain).engines, site, [answer]))


@pytest.mark.parametrize(
    ("kind", "memory", "ahead"),
    [("xfs", MUCH, True), ("nfs4", MUCH, False), ("xfs", LITTLE, False), ("ceph", MUCH, True)],
)
def test_reading_ahead_is_advised_where_vllm_does_not_by_itself(
    kind: str, memory: int, ahead: bool
) -> None:
    found = notes({"a": told(kind, memory), "b": told(kind, memory)})
    assert any("safetensors-load-strategy: prefetch" in note for note in found) == ahead
    assert all(note.endswith(" (a, b)") for note in found)
    assert any("enable-ep-weight-filter: true" in note for note in found)


def test_a_page_cache_that_cannot_hold_the_model_is_told() -> None:
    assert any(
        "the page cache can't hold 689 GB: every rank reads nfs4 anew" in n
        for n in notes({"a": told("nfs4", LITTLE)})
    )


def test_what_this_vllm_does_not_know_is_not_advised() -> None:
    assert notes({"a": told("xfs", MUCH)}, OLD) == []


@pytest.mark.parametrize(
    "args",
    ["{load-format: dummy}", "{safetensors_load_strategy: eager, enable_ep_weight_filter: false}"],
)
def test_what_the_recipe_says_it_means(args: str) -> None:
    assert notes({"a": told("xfs", MUCH)}, VLLM, f"engines.main.args={args}") == []


@pytest.mark.parametrize(
    "args",
    [
        "{load-format: fastsafetensors}",
        "{model-loader-extra-config: {enable_multithread_load: true}}",
    ],
)
def test_a_loader_that_reads_in_its_own_way_is_told_nothing(args: str) -> None:
    """vLLM gives it no filter, and refuses `prefetch` beside threads."""
    site = {"a": told("xfs", MUCH), "b": told("xfs", MUCH)}
    assert notes(site, VLLM, f"engines.main.args={args}") == []


@pytest.mark.parametrize(
    ("hosts", "memory", "advised"), [("a", MUCH, False), ("a", LITTLE, True), ("ab", MUCH, True)]
)
def test_own_experts_alone_where_a_host_would_read_others(
    hosts: str, memory: int, advised: bool
) -> None:
    found = notes({host: told("xfs", memory) for host in hosts})
    assert any("enable-ep-weight-filter" in note for note in found) == advised


def test_nothing_known_is_nothing_said() -> None:
    assert notes({"a": {}, "b": facts({}, memory_available="x")}) == []
