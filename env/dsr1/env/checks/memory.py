"""Whether the model fits, before twenty minutes of loading show that it doesn't."""

from dataclasses import dataclass

from dsr1.env.checks.gpu import GpuFact, gpu_facts
from dsr1.env.checks.judging import (
    ORDER,
    CheckFunction,
    EngineShape,
    Requirements,
    Verdict,
    known,
    known_or,
    on_gpus,
)
from dsr1.env.checks.software import numbers
from dsr1.env.model_memory import (
    COMMUNICATORS,
    DEEPEP_BUFFER,
    GIB,
    GRAPH,
    ModelShape,
    activations,
    balancing_buffer,
    captured_graphs,
    deepep_low_latency,
    kv_bytes_per_token,
    parse_shape,
    weight_terms,
)
from dsr1.hosts.protocol.fact import Facts

TIGHT = 0.05
GUESSED = ("graphs", "NCCL", "EPLB")  # from few logs: they warn, and never refuse alone
LOW_LATENCY = ("deepep_low_latency", "nixl_ep")
# vLLM's engine/arg_utils.py, for servers on GPUs of 70 GiB and more.
TOKENS, LOW_LATENCY_TOKENS, SEQUENCES = 8192, 256, 1024
FIX = (
    "More hosts, fewer redundant experts, a smaller max_num_batched_tokens, or a shorter"
    " max_model_len."
)


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What the recipe says, and vLLM's defaults for the rest."""

    tokens: int
    sequences: int
    context: int
    utilization: float


def make_batch(share: EngineShape, shape: ModelShape, vllm: str) -> BatchLimits:
    """`vllm` is the installed version; empty: not known."""
    tokens = share.tokens or (LOW_LATENCY_TOKENS if share.backend in LOW_LATENCY else TOKENS)
    return BatchLimits(
        tokens,
        share.sequences or min(SEQUENCES, tokens),
        share.context or shape.max_position_embeddings,
        share.utilization or (0.92 if numbers(vllm) >= (0, 31) else 0.9),
    )


def memory(facts: Facts, needs: Requirements) -> Verdict:
    """The worst of the plan's engines, on the smallest GPU."""
    smallest = min(GpuFact(gpu)["memory"] for gpu in gpu_facts(facts, needs))
    model, vllm = known(facts, "model.config"), known_or(facts, "software", {}).get("vllm", "")
    shapes = [(share, parse_shape(share.config_of(model))) for share in needs.shares]
    verdicts = [
        fit(shape, share, make_batch(share, shape, vllm), smallest) for share, shape in shapes
    ]
    return min(verdicts, key=lambda verdict: ORDER.index(verdict.verdict))


def terms_of(shape: ModelShape, share: EngineShape, batch: BatchLimits) -> dict[str, int]:
    """Bytes on each GPU, by what takes them."""
    experts = shape.n_routed_experts + share.redundant_experts
    graphs = (
        0
        if share.eager or _without_graphs(share)
        else captured_graphs(batch.sequences, batch.tokens)
    )
    terms = weight_terms(shape, share.expert_ranks, share.redundant_experts, share.tensor_ranks)
    terms["activations"] = activations(shape, batch.tokens, batch.sequences)
    terms[f"{graphs} graphs"] = graphs * GRAPH
    terms["NCCL"] = COMMUNICATORS if share.expert_ranks > 1 else 0
    terms["DeepEP"] = deepep_buffers(shape, share, experts, batch.tokens)
    slots = -(-experts // share.expert_ranks)
    terms["EPLB"] = balancing_buffer(shape, slots) if share.expert_balancing else 0
    return {name: size for name, size in terms.items() if size}


def _without_graphs(share: EngineShape) -> bool:
    """vLLM turns them off for these kernels."""
    return share.backend == "deepep_high_throughput" and share.expert_ranks > share.tensor_ranks


def deepep_buffers(shape: ModelShape, share: EngineShape, experts: int, tokens: int) -> int:
    """As vLLM asks for them (device_communicators/all2all.py)."""
    if share.backend == "deepep_low_latency":
        return DEEPEP_BUFFER + deepep_low_latency(shape, experts, tokens)
    if share.backend == "deepep_high_throughput":
        return DEEPEP_BUFFER * (2 if share.hosts > 1 else 1)
    return 0


def fit(shape: ModelShape, share: EngineShape, batch: BatchLimits, gpu_bytes: int) -> Verdict:
    """All of it in one line, so that it can be checked by hand."""
    terms = terms_of(shape, share, batch)
    budget = int(gpu_bytes * batch.utilization)
    room = budget - sum(terms.values())
    tokens = max(0, room) // kv_bytes_per_token(shape)
    added = " + ".join(f"{name} {size / GIB:.1f}" for name, size in terms.items())
    limit = f"{budget / GIB:.1f} GiB ({batch.utilization:g} of {gpu_bytes / GIB:.1f})"
    left = f"{room / GIB:.1f} GiB for the KV cache: {tokens} tokens"
    seen = f"{share.engine}: {added} = {sum(terms.values()) / GIB:.1f} of {limit}; {left}"
    wanted = f"room for {batch.context} tokens, max_model_len"
    guessed = sum(size for name, size in terms.items() if name.endswith(GUESSED))
    if room + guessed < batch.context * kv_bytes_per_token(shape):
        return Verdict("FAIL", seen, wanted, FIX)
    tight = tokens < batch.context or room < TIGHT * gpu_bytes
    return (
        Verdict("WARN", f"{seen}: tight", wanted, FIX) if tight else Verdict("PASS", seen, wanted)
    )


JUDGES: dict[str, CheckFunction] = {"cfg.memory": on_gpus(memory)}
