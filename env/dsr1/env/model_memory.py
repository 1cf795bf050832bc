"""What a DeepSeek-V3-shaped model takes of a GPU's memory, from its config.json: weights by term, and KV cache.

vLLM 0.23 reported 26.88 GiB for R1's dimensions with 5 layers on one H100; these terms add up to within 1% of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

BF16, FP8 = 2, 1
GIB = 2**30


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Keys of config.json, by their own names."""

    hidden_size: int
    intermediate_size: int
    moe_intermediate_size: int
    num_hidden_layers: int
    first_k_dense_replace: int
    n_routed_experts: int
    n_shared_experts: int
    num_attention_heads: int
    q_lora_rank: int
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    vocab_size: int
    weight_bytes: int

    @property
    def moe_layers(self) -> int:
        return self.num_hidden_layers - self.first_k_dense_replace


def parse_shape(config: Mapping[str, Any]) -> ModelShape:
    """ValueError names the key that is missing or no number. Weights are FP8 when it says so, else bfloat16."""
    quantized = (config.get("quantization_config") or {}).get("quant_method") == "fp8"
    names = [field.name for field in fields(ModelShape) if field.name != "weight_bytes"]
    for name in names:
        if not isinstance(config.get(name), int):
            raise ValueError(f"config.json: {name} is {config.get(name)!r}, a number is wanted")
    return ModelShape(**{name: config[name] for name in names}, weight_bytes=FP8 if quantized else BF16)


def expert_slot(shape: ModelShape) -> int:
    """Bytes of one physical expert over all MoE layers."""
    return shape.moe_layers * 3 * shape.hidden_size * shape.moe_intermediate_size * shape.weight_bytes


def attention(shape: ModelShape) -> int:
    """MLA's projections over all layers, and the two halves of kv_b that vLLM keeps in bfloat16 for decoding."""
    heads, qk = shape.num_attention_heads, shape.qk_nope_head_dim + shape.qk_rope_head_dim
    kv_b = shape.kv_lora_rank * heads * (shape.qk_nope_head_dim + shape.v_head_dim)
    weights = (
        shape.hidden_size * (shape.q_lora_rank + shape.kv_lora_rank + shape.qk_rope_head_dim)
        + shape.q_lora_rank * heads * qk
        + kv_b
        + heads * shape.v_head_dim * shape.hidden_size
    )
    return shape.num_hidden_layers * (weights * shape.weight_bytes + kv_b * BF16)


def dense(shape: ModelShape) -> int:
    """The first layers' MLPs and the shared experts."""
    first = shape.first_k_dense_replace * shape.intermediate_size
    shared = shape.moe_layers * shape.n_shared_experts * shape.moe_intermediate_size
    return 3 * shape.hidden_size * (first + shared) * shape.weight_bytes


def embeddings(shape: ModelShape) -> int:
    """The input's and the output's, in bfloat16."""
    return 2 * shape.vocab_size * shape.hidden_size * BF16


def weight_terms(shape: ModelShape, expert_ranks: int, redundant: int = 0, tensor_ranks: int = 1) -> dict[str, int]:
    """Bytes on each GPU. Experts are dealt over `expert_ranks`, the rest over `tensor_ranks`: each DP rank has it."""
    slots = -(-(shape.n_routed_experts + redundant) // expert_ranks)
    return {
        f"{slots} experts": slots * expert_slot(shape),
        "attention": attention(shape) // tensor_ranks,
        "dense and shared": dense(shape) // tensor_ranks,
        "embeddings": embeddings(shape) // tensor_ranks,
    }


def kv_bytes_per_token(shape: ModelShape) -> int:
    """MLA keeps one latent and one rotary key a layer, in bfloat16, on every rank."""
    return shape.num_hidden_layers * (shape.kv_lora_rank + shape.qk_rope_head_dim) * BF16
