"""What a model takes of a GPU, against what vLLM reported on a real H100."""

import re
from pathlib import Path
from typing import Any

import pytest

from dsr1.env.checks.model.memory import BatchLimits, fit, make_batch, memory_terms
from dsr1.env.checks.requirements import EngineShape
from dsr1.env.model_memory import (
    GIB,
    captured_graphs,
    deepep_low_latency,
    expert_slot,
    kv_bytes_per_token,
    parse_shape,
    weight_terms,
)

H100, H200 = 85520809984, 150_754_820_096
LOGS = Path(__file__).parents[2] / "data" / "vllm-logs"

R1: dict[str, Any] = {
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "num_hidden_layers": 61,
    "first_k_dense_replace": 3,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_attention_heads": 128,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "vocab_size": 129280,
    "num_experts_per_tok": 8,
    "max_position_embeddings": 163840,
    "quantization_config": {"quant_method": "fp8"},
}


def test_five_layers_on_one_h100_as_vllm_reported() -> None:
    """h100-r1-5layer-cold-start.log: "Model loading took 26.88 GiB memory"."""
    total = sum(weight_terms(parse_shape({**R1, "num_hidden_layers": 5}), 1).values()) / GIB
    assert total == pytest.approx(26.88, rel=0.01)


def test_r1_as_the_field_counts_it() -> None:
    shape = parse_shape(R1)
    assert expert_slot(shape) / 1e9 == pytest.approx(2.55, rel=0.01)
    assert kv_bytes_per_token(shape) == 70272
    assert sum(weight_terms(shape, 1).values()) / 1e9 == pytest.approx(671, rel=0.02)


def test_redundant_experts_are_dealt_like_the_others() -> None:
    shape = parse_shape(R1)
    assert set(weight_terms(shape, 16, 32)) >= {"18 experts"}
    assert sum(weight_terms(shape, 16, 32).values()) - sum(
        weight_terms(shape, 16).values()
    ) == 2 * expert_slot(shape)


@pytest.mark.parametrize("value", [None, "7168", 1.5])
def test_a_key_that_is_no_number_is_named(value: object) -> None:
    with pytest.raises(ValueError, match="hidden_size"):
        parse_shape({**R1, "hidden_size": value})


def reported(log: str, pattern: str) -> float:
    found = re.search(pattern, (LOGS / log).read_text())
    assert found is not None
    return float(found[1])


@pytest.mark.parametrize(
    ("log", "tokens", "sequences"),
    [
        ("h100-r1-5layer-cold-start.log", 4096, 64),
        ("h100-r1-5layer-small-batch-cold.log", 256, 8),
        ("h100-r1-5layer-small-batch-warm.log", 256, 8),
    ],
)
def test_what_vllm_left_for_the_kv_cache(log: str, tokens: int, sequences: int) -> None:
    """Within 10 %, and so is what isn't weights: activations, workspaces and graphs."""
    shape = parse_shape({**R1, "num_hidden_layers": 5})
    share = EngineShape(
        "main", 1, utilization=0.9, context=2048, tokens=tokens, sequences=sequences
    )
    terms = memory_terms(shape, share, make_batch(share, shape, "0.23.0"))
    left = (H100 * 0.9 - sum(terms.values())) / GIB
    assert left == pytest.approx(reported(log, r"Available KV cache memory: ([\d.]+) GiB"), rel=0.1)
    graphs = next(size for name, size in terms.items() if name.endswith("graphs")) / GIB
    assert graphs == pytest.approx(
        reported(log, r"Estimated CUDA graph memory: ([\d.]+) GiB"), abs=0.2
    )
    assert sum(weight_terms(shape, 1).values()) / GIB == pytest.approx(
        reported(log, r"Model loading took ([\d.]+) GiB"), rel=0.01
    )


@pytest.mark.parametrize(("tokens", "sequences", "graphs"), [(4096, 64, 19 + 11), (256, 8, 5 + 4)])
def test_the_graphs_that_vllm_captured(tokens: int, sequences: int, graphs: int) -> None:
    """The logs say PIECEWISE=19, FULL=11, and 5 and 4."""
    assert captured_graphs(sequences, tokens) == graphs


@pytest.mark.parametrize(
    ("tokens", "experts", "gib"),
    [(128, 256, 1.8), (256, 288, 4.0), (512, 256, 7.1), (1024, 288, 16.0)],
)
def test_deepep_buffers_as_its_own_formula_has_them(tokens: int, experts: int, gib: float) -> None:
    assert deepep_low_latency(parse_shape(R1), experts, tokens) / GIB == pytest.approx(
        gib, abs=0.06
    )


@pytest.mark.parametrize(
    ("hosts", "redundant", "gpu", "context", "verdict"),
    [
        (1, 0, H100, 4096, "FAIL"),
        (2, 0, H100, 4096, "WARN"),
        (2, 32, H100, 4096, "WARN"),
        (2, 64, H100, 4096, "FAIL"),
        (2, 0, H100, None, "FAIL"),
        (4, 0, H100, 4096, "PASS"),
        (1, 0, H200, None, "PASS"),
        (2, 32, H200, None, "PASS"),
    ],
)
def test_r1_on_hosts_of_eight(
    hosts: int, redundant: int, gpu: int, context: int | None, verdict: str
) -> None:
    """Without max_model_len vLLM wants room for all 163840 positions."""
    shape = parse_shape(R1)
    share = EngineShape(
        "main", 8 * hosts, 1, redundant, context=context, backend="deepep_low_latency", hosts=hosts
    )
    found = fit(shape, share, make_batch(share, shape, "0.31.0"), gpu)
    assert found.verdict == verdict, found.seen
    assert f"{(256 + redundant) // (8 * hosts)} experts" in found.seen


def test_what_the_recipe_leaves_to_vllm() -> None:
    shape, share = parse_shape(R1), EngineShape("main", 8)
    assert make_batch(share, shape, "0.31.0+cpu") == BatchLimits(8192, 1024, 163840, 0.92)
    assert make_batch(share, shape, "0.23.0").utilization == 0.9
    assert make_batch(EngineShape("main", 8, backend="deepep_low_latency"), shape, "").tokens == 256


def test_what_is_not_there_takes_nothing() -> None:
    shape = parse_shape(R1)
    eager, high = (
        EngineShape("main", 16, eager=True),
        EngineShape("main", 16, backend="deepep_high_throughput", hosts=2),
    )
    assert not any(
        "graphs" in name
        for share in (eager, high)
        for name in memory_terms(shape, share, make_batch(share, shape, ""))
    )
    assert memory_terms(shape, high, make_batch(high, shape, ""))["DeepEP"] == 2 * GIB
