"""Weights and KV cache, against what vLLM reported on a real H100."""

from typing import Any

import pytest

from dsr1.env.model_memory import GIB, expert_slot, kv_bytes_per_token, parse_shape, weight_terms

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
    assert sum(weight_terms(shape, 16, 32).values()) - sum(weight_terms(shape, 16).values()) == 2 * expert_slot(shape)


@pytest.mark.parametrize("value", [None, "7168", 1.5])
def test_a_key_that_is_no_number_is_named(value: object) -> None:
    with pytest.raises(ValueError, match="hidden_size"):
        parse_shape({**R1, "hidden_size": value})
