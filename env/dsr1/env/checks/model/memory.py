"""Whether the model fits, before twenty minutes of loading show that it doesn't."""

from dataclasses import dataclass

from dsr1.env.checks.gpu.values import planned_gpus
from dsr1.env.checks.judging import ORDER, CheckFunction, Verdict, for_gpus, known, known_or
from dsr1.env.checks.requirements import EngineShape, Requirements
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
from dsr1.env.versions import version_numbers
from dsr1.hosts.protocol.facts.fact import Facts

TIGHT = 0.05
GUESSED = ("graphs", "NCCL", "EPLB")  # from few logs: they warn, and never refuse alone
LOW_LATENCY = ("deepep_low_latency", "nixl_ep")
# vLLM's engine/arg_utils.py, for servers on GPUs of 70 GiB and more.
TOKENS, LOW_LATENCY_TOKENS, SEQUENCES = 8192, 256, 1024
FIX = (
    "Use more hosts, fewer redundant experts, a smaller max_num_batched_tokens, or a shorter"
    " max_model_len."
)


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What the recipe says, and vLLM's defaults for the rest."""

    tokens: int
    sequences: int
    context: int
    utilization: float


def make_batch(engine: EngineShape, shape: ModelShape, vllm: str) -> BatchLimits:
    """`vllm` is the installed version; empty: not known."""
    default = LOW_LATENCY_TOKENS if engine.backend in LOW_LATENCY else TOKENS
    tokens = engine.tokens or default
    return BatchLimits(
        tokens,
        engine.sequences or min(SEQUENCES, tokens),
        engine.context or shape.max_position_embeddings,
        engine.utilization or (0.92 if version_numbers(vllm) >= (0, 31) else 0.9),
    )


def memory(facts: Facts, requirements: Requirements) -> Verdict:
    """The worst of the plan's engines, on the smallest GPU."""
    smallest = min(gpu["memory"] for gpu in planned_gpus(facts, requirements))
    model, vllm = known(facts, "model.config"), known_or(facts, "software", {}).get("vllm", "")
    verdicts = []
    for engine in requirements.engines:
        shape = parse_shape(engine.config_of(model))
        verdicts.append(fit(shape, engine, make_batch(engine, shape, vllm), smallest))
    return min(verdicts, key=lambda verdict: ORDER.index(verdict.verdict))


def memory_terms(shape: ModelShape, engine: EngineShape, batch: BatchLimits) -> dict[str, int]:
    """Bytes on each GPU, by what takes them."""
    experts = shape.n_routed_experts + engine.redundant_experts
    graphs = _count_graphs(engine, batch)
    terms = weight_terms(shape, engine.expert_ranks, engine.redundant_experts, engine.tensor_ranks)
    terms["activations"] = activations(shape, batch.tokens, batch.sequences)
    terms[f"{graphs} graphs"] = graphs * GRAPH
    terms["NCCL"] = COMMUNICATORS if engine.expert_ranks > 1 else 0
    terms["DeepEP"] = deepep_buffers(shape, engine, experts, batch.tokens)
    slots = -(-experts // engine.expert_ranks)
    terms["EPLB"] = balancing_buffer(shape, slots) if engine.expert_balancing else 0
    return {name: size for name, size in terms.items() if size}


def _count_graphs(engine: EngineShape, batch: BatchLimits) -> int:
    """vLLM turns them off for DeepEP's high-throughput kernels."""
    high_throughput = engine.backend == "deepep_high_throughput"
    if engine.eager or (high_throughput and engine.expert_ranks > engine.tensor_ranks):
        return 0
    return captured_graphs(batch.sequences, batch.tokens)


def deepep_buffers(shape: ModelShape, engine: EngineShape, experts: int, tokens: int) -> int:
    """As vLLM asks for them (device_communicators/all2all.py)."""
    if engine.backend == "deepep_low_latency":
        return DEEPEP_BUFFER + deepep_low_latency(shape, experts, tokens)
    if engine.backend == "deepep_high_throughput":
        return DEEPEP_BUFFER * (2 if engine.hosts > 1 else 1)
    return 0


def fit(shape: ModelShape, engine: EngineShape, batch: BatchLimits, gpu_bytes: int) -> Verdict:
    """The whole sum in one line, so that it can be checked by hand."""
    terms = memory_terms(shape, engine, batch)
    budget = int(gpu_bytes * batch.utilization)
    room = budget - sum(terms.values())
    token_bytes = kv_bytes_per_token(shape)
    tokens = max(0, room) // token_bytes
    added = " + ".join(f"{name} {size / GIB:.1f}" for name, size in terms.items())
    limit = f"{budget / GIB:.1f} GiB ({batch.utilization:g} of {gpu_bytes / GIB:.1f})"
    left = f"{room / GIB:.1f} GiB for the KV cache: {tokens} tokens"
    seen = f"{engine.name}: {added} = {sum(terms.values()) / GIB:.1f} of {limit}; {left}"
    wanted = f"room for {batch.context} tokens, max_model_len"
    guessed = sum(size for name, size in terms.items() if name.endswith(GUESSED))
    if room + guessed < batch.context * token_bytes:
        return Verdict("FAIL", seen, wanted, FIX)
    if tokens < batch.context or room < TIGHT * gpu_bytes:
        return Verdict("WARN", f"{seen}: tight", wanted, FIX)
    return Verdict("PASS", seen, wanted)


CHECKS: dict[str, CheckFunction] = {"cfg.memory": for_gpus(memory)}
