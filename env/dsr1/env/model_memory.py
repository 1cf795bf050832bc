"""What a DeepSeek-V3-shaped model takes of a GPU's memory: weights from its config.json, buffers,
graphs, KV cache.

Against what vLLM 0.23 and 0.31 reported for R1's dimensions with 5 layers on one H100 and on four
H200 (tests/data/vllm-logs, tests/data/h200-x4): weights within 1 %, and the KV cache that was left
within 10 %.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from dsr1.env.quantization import WeightSizes, parse_weight_sizes
from dsr1.hosts.dataclass import dataclass

BF16 = 2
GIB = 2**30
LOGITS = 12  # bytes a logit: float32, and two temporaries of sampling
WORKSPACES = int(0.7 * GIB)  # what is left in the logs when the rest is taken off
# Tokens of earlier context that MLA takes at once in a prefill (mla_attention.py,
# determine_chunked_prefill_workspace_size): room for so many whole requests, or for four blocks of
# each, and no more than MOST_CONTEXT.
WHOLE_REQUESTS, BLOCKS_EACH, MOST_CONTEXT = 8, 4 * 16, 64 * 1024
# CUDA graphs, as vLLM 0.31 estimates them before it sizes the KV cache (cudagraph_utils.py): what
# the first full one took, what the second took for each further one, and piecewise ones. What the
# second took is fitted to the starts of tests/data/h200-x4/graphs: 0.10 GiB with 32 sequences,
# 0.11 with 128, 0.14 with 384, with 5 to 61 layers (0.05 with 48: there this says 0.4 too much).
NEXT_GRAPH, NEXT_SEQUENCE, PIECEWISE_GRAPH = int(0.097 * GIB), 126 * 2**10, int(0.03 * GIB)
SPLITS, FLOAT32 = 32, 4  # flash_attn_max_num_splits_for_cuda_graph
APART = 10 * 2**20  # torch's allocator cuts what is larger out of any free block (kMinLargeAlloc)
DEEPEP_BUFFER = GIB  # VLLM_DEEPEP_BUFFER_SIZE_MB, for NVLink, and again for RDMA between hosts
# What the driver keeps of a GPU: NVML counts it, CUDA and so vLLM's share does not (143,771 and
# 143,155 MiB of an H200).
KEPT = 615 * 2**20
# Beside vLLM's share: taken before it looks what is free (gpu_worker.py: "Initialize the
# distributed environment BEFORE taking memory snapshot"). Used on an H200 of four, before the
# load: 580 MiB, then 1,948 with NCCL's communicators.
CONTEXT, COMMUNICATORS = 580 * 2**20, (1948 - 580) * 2**20
OVERRUN = GIB  # graphs took 3.02 GiB where 2.11 had been estimated (h100-r1-5layer-cold-start.log)
NVSHMEM = GIB  # its static heap, NVSHMEM_SYMMETRIC_SIZE
DEEPEP_CHANNELS = 256  # kNumMaxChannels


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
    num_experts_per_tok: int
    max_position_embeddings: int
    weights: WeightSizes

    @property
    def moe_layers(self) -> int:
        return self.num_hidden_layers - self.first_k_dense_replace


def parse_shape(config: Mapping[str, Any], quantization: str = "") -> ModelShape:
    """ValueError names the key that is missing or no number, or a quantization that isn't known.
    `quantization` is vLLM's flag."""
    names = [field.name for field in fields(ModelShape) if field.name != "weights"]
    for name in names:
        if not isinstance(config.get(name), int):
            raise ValueError(f"config.json: {name} is {config.get(name)!r}, a number is wanted")
    sizes = {name: config[name] for name in names}
    return ModelShape(**sizes, weights=parse_weight_sizes(config, quantization))


def expert_slot(shape: ModelShape) -> int:
    """Bytes of one physical expert over all MoE layers."""
    return shape.moe_layers * expert(shape)


def expert(shape: ModelShape) -> int:
    """Of one layer: gate, up and down projection."""
    return int(3 * shape.hidden_size * shape.moe_intermediate_size * shape.weights.experts)


def attention(shape: ModelShape) -> int:
    """MLA's projections over all layers."""
    return shape.num_hidden_layers * _layer_attention(shape)


def _layer_attention(shape: ModelShape) -> int:
    """With the two halves of kv_b that vLLM keeps in bfloat16 for decoding."""
    heads, qk = shape.num_attention_heads, shape.qk_nope_head_dim + shape.qk_rope_head_dim
    kv_b = shape.kv_lora_rank * heads * (shape.qk_nope_head_dim + shape.v_head_dim)
    weights = (
        shape.hidden_size * (shape.q_lora_rank + shape.kv_lora_rank + shape.qk_rope_head_dim)
        + shape.q_lora_rank * heads * qk
        + kv_b
        + heads * shape.v_head_dim * shape.hidden_size
    )
    return int(weights * shape.weights.attention) + kv_b * BF16


def dense(shape: ModelShape) -> int:
    """The first layers' MLPs and the shared experts."""
    first = shape.first_k_dense_replace * shape.intermediate_size
    shared = shape.moe_layers * shape.n_shared_experts * shape.moe_intermediate_size
    return int(3 * shape.hidden_size * (first + shared) * shape.weights.dense)


def embeddings(shape: ModelShape) -> int:
    """The input's and the output's, in bfloat16."""
    return 2 * shape.vocab_size * shape.hidden_size * BF16


def weight_terms(
    shape: ModelShape, expert_ranks: int, redundant: int = 0, tensor_ranks: int = 1
) -> dict[str, int]:
    """Bytes on each GPU. Experts are dealt over `expert_ranks`, the rest over `tensor_ranks`: each
    DP rank has it."""
    slots = -(-(shape.n_routed_experts + redundant) // expert_ranks)
    return {
        f"{slots} experts": slots * expert_slot(shape),
        "attention": attention(shape) // tensor_ranks,
        "dense and shared": dense(shape) // tensor_ranks,
        "embeddings": embeddings(shape) // tensor_ranks,
    }


def prediction_layer(shape: ModelShape, slots: int, tensor_ranks: int = 1) -> int:
    """Bytes of a layer for multi-token prediction (vLLM's deepseek_mtp.py): a MoE layer, and a
    projection of two hidden states to one. Embeddings are the model's own."""
    shared = shape.n_shared_experts * expert(shape) * shape.weights.dense / shape.weights.experts
    rest = _layer_attention(shape) + shared + 2 * shape.hidden_size**2 * BF16
    return slots * expert(shape) + int(rest) // tensor_ranks


def kv_bytes_per_token(shape: ModelShape, layers: int = 0, size: int = BF16) -> int:
    """MLA keeps one latent and one rotary key a layer, on every rank; `layers` more than the
    model's, each number in `size` bytes."""
    return (shape.num_hidden_layers + layers) * (shape.kv_lora_rank + shape.qk_rope_head_dim) * size


def deepep_low_latency(shape: ModelShape, experts: int, tokens: int) -> int:
    """DeepEP's csrc/legacy/config.hpp, LowLatencyLayout: two send and two receive buffers for every
    expert's tokens.

    A message of combine is larger than one of dispatch: the hidden state in bfloat16, and a pair of
    them per 128.
    """
    message = shape.hidden_size * BF16 + shape.hidden_size // 128 * 2 * BF16
    return 4 * experts * tokens * message


def deepep_elastic(shape: ModelShape, ranks: int, hosts: int, tokens: int) -> int:
    """DeepEP's csrc/elastic/buffer.hpp, calculate_buffer_size, as vLLM asks for it: FP8 dispatched
    with a scale for 32 numbers, bfloat16 combined once for each expert of a token."""
    inside = ranks // hosts
    dispatched = shape.hidden_size + shape.hidden_size // 32 * 4
    combined, picked = shape.hidden_size * BF16, shape.num_experts_per_tok
    if hosts == 1:
        return tokens * max(ranks * dispatched, picked * combined)
    extended = tokens + DEEPEP_CHANNELS
    dispatch = dispatched * (inside * hosts * tokens + tokens + hosts * extended)
    return max(dispatch, combined * picked * (hosts * tokens + tokens + hosts * extended))


def activations(
    shape: ModelShape, tokens: int, sequences: int, context: int, tensor_ranks: int = 1
) -> int:
    """Of one step of so many tokens, at its peak, and what the driver, cuBLAS and the kernels'
    workspaces take.

    The terms are a layer's largest tensors, in bfloat16: queries, keys, values and the context that
    is unfolded beside them, or routed experts' inputs and outputs.
    """
    heads, experts = shape.num_attention_heads // tensor_ranks, shape.num_experts_per_tok
    qkv = heads * (2 * (shape.qk_nope_head_dim + shape.qk_rope_head_dim) + 2 * shape.v_head_dim)
    unfolded = context_chunk(sequences, context) * heads
    unfolded *= shape.qk_nope_head_dim + shape.v_head_dim
    moe = experts * (3 * shape.moe_intermediate_size + 2 * shape.hidden_size)
    logits = sequences * shape.vocab_size * LOGITS
    largest = max(tokens * qkv + unfolded, tokens * moe)
    return WORKSPACES + (tokens * 3 * shape.hidden_size + largest) * BF16 + logits


def context_chunk(sequences: int, context: int) -> int:
    """In tokens: it is there from the profile run on, also where no request is long."""
    return min(max(WHOLE_REQUESTS * context, BLOCKS_EACH * sequences), MOST_CONTEXT)


class Graphs(NamedTuple):
    """How many vLLM captures of each kind."""

    piecewise: int
    full: int


def captured_graphs(sequences: int, tokens: int, mode: str = "") -> Graphs:
    """vLLM's own list of batch sizes (config/vllm.py): 1, 2, 4, then by 8, above 256 by 16; for
    mixed batches, and for those that decode alone, as `mode` (cudagraph_mode) has it; both by
    default."""
    most = min(2 * sequences, 512, tokens)
    sizes = [size for size in (1, 2, 4, *range(8, 256, 8), *range(256, 513, 16)) if size <= most]
    mixed, decode = len(sizes), len([size for size in sizes if size <= sequences])
    kinds = {
        "NONE": Graphs(0, 0),
        "PIECEWISE": Graphs(mixed, 0),
        "FULL_DECODE_ONLY": Graphs(0, decode),
        "FULL": Graphs(0, mixed),
    }
    return kinds.get(mode.upper(), Graphs(mixed, decode))


def graphs_memory(graphs: Graphs, shape: ModelShape, sequences: int, tensor_ranks: int = 1) -> int:
    """Of all of them, in bytes, at least."""
    first = first_graph(shape, sequences, tensor_ranks)
    further = NEXT_GRAPH + sequences * NEXT_SEQUENCE
    full = first + (graphs.full - 1) * further if graphs.full else 0
    return graphs.piecewise * PIECEWISE_GRAPH + full


def first_graph(shape: ModelShape, sequences: int, tensor_ranks: int = 1) -> int:
    """What FlashAttention gathers of a decode that is split, whichever layer it is of. Each layer
    gives it back; where queries are cut out of it, the next layer takes as much again."""
    latents = sequences * shape.num_attention_heads // tensor_ranks * shape.kv_lora_rank
    return latents * SPLITS * FLOAT32 * (2 if latents * BF16 > APART else 1)


def share_of(gpu_bytes: int, utilization: float) -> int:
    """What vLLM takes of a GPU that has so many by NVML."""
    return int((gpu_bytes - KEPT) * utilization)


def balancing_buffer(shape: ModelShape, slots: int) -> int:
    """EPLB moves experts through a copy of one layer's."""
    return slots * expert_slot(shape) // max(1, shape.moe_layers)
