"""A cache's key: the same for hosts that may share it, another for everything that decides what is
compiled."""

from typing import Any

import pytest
from tests.unit.env.hgx import captured_facts

from dsr1.env.caches import JitCache, Shapes, cache_variables, make_cache
from dsr1.hosts.protocol.facts.fact import Fact, Facts

SHAPES = Shapes(16, ("--max-num-seqs", "256"))


def facts(**changed: Any) -> Facts:
    values = {
        "cache.root": "/var/tmp/dsr1-jit-1000",
        "software": {"vllm": "0.23.0", "torch": "2.11.0", "transformers": "5"},
        "model.config": {"hidden_size": 7168},
        "gpu.devices": [{"name": "NVIDIA H100 80GB HBM3"}],
    }
    return {name: Fact(value, "test") for name, value in (values | changed).items()}


def made(told: Facts, shapes: Shapes = SHAPES, root: str = "") -> JitCache:
    cache = make_cache(shapes, told, root)
    assert cache is not None
    return cache


def test_a_key_says_for_what_it_is() -> None:
    assert made(facts()).key.startswith("h100-80gb-hbm3-vllm0.23.0-")
    assert made(facts(**{"gpu.devices": []})).key.startswith("cpu-vllm0.23.0-")


def test_the_same_everywhere_else() -> None:
    other = facts(
        software={"vllm": "0.23.0", "torch": "2.11.0", "transformers": "6"}, **{"clock.now": 5}
    )
    assert made(other).key == made(facts()).key


@pytest.mark.parametrize(
    "told",
    [
        facts(software={"vllm": "0.31.0", "torch": "2.11.0"}),
        facts(software={"vllm": "0.23.0", "torch": "2.12.0"}),
        facts(**{"gpu.devices": [{"name": "NVIDIA H200"}]}),
        facts(**{"cache.root": "/var/tmp/dsr1-jit-0"}),
    ],
)
def test_another_key_for_what_decides_it(told: Facts) -> None:
    assert made(told).key != made(facts()).key


def test_model_and_shapes_are_another_fill_of_the_same_folder() -> None:
    others = (
        made(facts(), Shapes(8, SHAPES.arguments)),
        made(facts(), Shapes(16, ("--max-num-seqs", "128"))),
        made(facts(**{"model.config": {"hidden_size": 4096}})),
    )
    assert {other.key for other in others} == {made(facts()).key}
    assert len({made(facts()).fill, *(other.fill for other in others)}) == 4


def test_the_recipes_own_place() -> None:
    assert made(facts(), root="/nvme/a b").folder.startswith("/nvme/a b/h100")


@pytest.mark.parametrize("name", ["cache.root", "software", "model.config"])
def test_no_cache_where_too_little_is_known(name: str) -> None:
    assert make_cache(SHAPES, facts(**{name: None})) is None
    assert make_cache(SHAPES, {}) is None


@pytest.mark.parametrize("gpu", ["../../etc", "a b;$(id)", "\n", "ü" * 200])
def test_a_hostile_name_makes_no_path(gpu: str) -> None:
    key = made(facts(**{"gpu.devices": [{"name": gpu}]})).key
    assert "/" not in key
    assert len(key) < 120
    assert key.isascii()
    assert key.isprintable()


def test_on_facts_of_a_real_host() -> None:
    assert made(captured_facts("facts")).key.startswith("h100-80gb-hbm3-vllm0.23.0-")


def test_every_cache_lies_below_the_key() -> None:
    cache = made(facts())
    variables = {v.name: v.value for v in cache_variables(cache, 2)}
    assert variables["VLLM_CACHE_ROOT"] == f"{cache.folder}/vllm/2-gpu"
    assert all(value.startswith(f"{cache.folder}/") for value in variables.values())
    assert len(set(variables.values())) == len(variables)


def test_a_rank_finds_nothing_that_was_compiled_for_another_device_number() -> None:
    """vLLM 0.31 on two H200: rank 1 of a process with both GPUs took what rank 1 had compiled in a
    process of its own, as device 0: `CUDA driver error: invalid argument`."""
    one, two = (
        {variable.name: variable.value for variable in cache_variables(made(facts()), gpus)}
        for gpus in (1, 2)
    )
    assert {name for name in one if one[name] != two[name]} == {"VLLM_CACHE_ROOT"}
