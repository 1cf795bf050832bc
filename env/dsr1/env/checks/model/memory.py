"""Whether the model fits, before twenty minutes of loading show that it doesn't."""

from collections.abc import Sequence

from dsr1.env.checks.gpu.values import planned_gpus
from dsr1.env.checks.judging import CheckFunction, Verdict, for_gpus, known, known_or
from dsr1.env.checks.requirements import EngineShape, Requirements
from dsr1.env.findings import ORDER
from dsr1.env.ibgda import WITH_NVSHMEM
from dsr1.env.model_memory import (
    BF16,
    COMMUNICATORS,
    CONTEXT,
    DEEPEP_BUFFER,
    GIB,
    KEPT,
    NVSHMEM,
    OVERRUN,
    Graphs,
    ModelShape,
    activations,
    balancing_buffer,
    captured_graphs,
    deepep_elastic,
    deepep_low_latency,
    graphs_memory,
    kv_bytes_per_token,
    parse_shape,
    prediction_layer,
    share_of,
    weight_terms,
)
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.facts.fact import Facts

TIGHT = 0.05
MOST_UTILIZATION = 0.95  # of single hosts without DeepEP in llm-d's guides; more is for nobody's R1
MOST_BUFFER = 32 * GIB  # DeepEP's csrc/legacy/buffer.hpp: bytes / 16 < INT_MAX
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
        engine.share_of_gpu(vllm),
    )


@dataclass(frozen=True, slots=True)
class MemoryTerm:
    """Bytes of a GPU's memory, and where the number is from."""

    name: str
    size: int
    source: str


def memory(facts: Facts, requirements: Requirements) -> Verdict:
    """Every engine that has ranks here, on the smallest GPU; the verdict is the worst's."""
    smallest = min(gpu["memory"] for gpu in planned_gpus(facts, requirements))
    model, vllm = known(facts, "model.config"), known_or(facts, "software", {}).get("vllm", "")
    verdicts = []
    for engine in requirements.engines_here:
        shape = parse_shape(engine.config_of(model), engine.quantization)
        verdicts.append(fit(shape, engine, make_batch(engine, shape, vllm), smallest))
    worst = min(verdicts, key=lambda verdict: ORDER.index(verdict.verdict))
    seen = " | ".join(dict.fromkeys(verdict.seen for verdict in verdicts))
    return Verdict(worst.verdict, seen, worst.wanted, worst.fix)


def memory_terms(
    shape: ModelShape, engine: EngineShape, batch: BatchLimits
) -> tuple[MemoryTerm, ...]:
    """Of vLLM's share of each GPU, by what takes it; what takes nothing is left out."""
    experts = shape.n_routed_experts + engine.redundant_experts
    slots, graphs = -(-experts // engine.expert_ranks), _graphs(engine, batch)
    weights = weight_terms(
        shape, engine.expert_ranks, engine.redundant_experts, engine.tensor_ranks
    )
    layer = prediction_layer(shape, slots, engine.tensor_ranks) if engine.predicts else 0
    balancing = balancing_buffer(shape, slots) if engine.expert_balancing else 0
    terms = (
        *(MemoryTerm(name, size, "config.json") for name, size in weights.items()),
        MemoryTerm("MTP layer", layer, "config.json"),
        MemoryTerm(
            "activations",
            activations(shape, batch.tokens, batch.sequences, batch.context, engine.tensor_ranks),
            "vLLM's logs",
        ),
        MemoryTerm(
            f"{sum(graphs)} graphs",
            graphs_memory(graphs, shape, batch.sequences, engine.tensor_ranks),
            "vLLM's logs",
        ),
        MemoryTerm("EPLB", balancing, "a layer's experts"),
        dispatch_buffers(shape, engine, experts, batch.tokens),
    )
    return tuple(term for term in terms if term.size)


def _graphs(engine: EngineShape, batch: BatchLimits) -> Graphs:
    """vLLM turns them off for DeepEP's high-throughput kernels."""
    high_throughput = engine.backend == "deepep_high_throughput"
    if engine.eager or (high_throughput and engine.expert_ranks > engine.tensor_ranks):
        return Graphs(0, 0)
    return captured_graphs(batch.sequences, batch.tokens, engine.graphs)


def dispatch_buffers(
    shape: ModelShape, engine: EngineShape, experts: int, tokens: int
) -> MemoryTerm:
    """As vLLM asks for them (device_communicators/all2all.py). One rank has nobody to send to."""
    layout = deepep_low_latency(shape, experts, tokens)
    spread = engine.hosts > 1
    kinds = {
        "deepep_low_latency": MemoryTerm("DeepEP", DEEPEP_BUFFER + layout, "LowLatencyLayout"),
        "deepep_high_throughput": MemoryTerm(
            "DeepEP", DEEPEP_BUFFER * (2 if spread else 1), "VLLM_DEEPEP_BUFFER_SIZE_MB"
        ),
        "deepep_v2": MemoryTerm(
            "DeepEP",
            deepep_elastic(shape, engine.expert_ranks, engine.hosts, tokens),
            "ElasticBuffer",
        ),
        "nixl_ep": MemoryTerm("NIXL EP", layout, "LowLatencyLayout"),
    }
    none = MemoryTerm("", 0, "")
    return kinds.get(engine.backend, none) if engine.expert_ranks > 1 else none


def beside_terms(engine: EngineShape) -> tuple[MemoryTerm, ...]:
    """What is taken before vLLM looks whether its share is free."""
    several = engine.expert_ranks > 1
    terms = (
        MemoryTerm("CUDA context", CONTEXT, "measured"),
        MemoryTerm("NCCL", COMMUNICATORS if several else 0, "measured"),
    )
    return tuple(term for term in terms if term.size)


def fit(shape: ModelShape, engine: EngineShape, batch: BatchLimits, gpu_bytes: int) -> Verdict:
    """The whole sum in one line, so that it can be checked by hand."""
    terms, usable = memory_terms(shape, engine, batch), gpu_bytes - KEPT
    total, budget = sum(term.size for term in terms), share_of(gpu_bytes, batch.utilization)
    token_bytes = kv_bytes_per_token(
        shape, int(engine.predicts), 1 if engine.cache_dtype.startswith("fp8") else BF16
    )
    needed, room = batch.context * token_bytes, budget - total
    limit = f"{budget / GIB:.1f} GiB ({batch.utilization:g} of {usable / GIB:.1f})"
    left = f"{max(0, room) / GIB:.1f} GiB for the KV cache: {max(0, room) // token_bytes} tokens"
    if room < 0:
        left = f"{-room / GIB:.1f} GiB too much"
    seen = f"{engine.name}: {_added(terms)} = {total / GIB:.1f} of {limit}; {left}"
    wanted = f"room for {batch.context} tokens, max_model_len"
    problems = [
        _outside_problem(engine, batch.utilization, usable),
        _buffer_problem(terms),
        Verdict("FAIL", "", wanted, FIX) if room < needed else None,
        Verdict("WARN", "tight", wanted, FIX) if needed <= room < TIGHT * usable else None,
    ]
    return _worst(seen, wanted, [problem for problem in problems if problem])


def _worst(seen: str, wanted: str, problems: Sequence[Verdict]) -> Verdict:
    """With what all of them saw; of the worst ones the first says what is wanted."""
    if not problems:
        return Verdict("PASS", seen, wanted)
    worst = min(problems, key=lambda problem: ORDER.index(problem.verdict))
    told = "; ".join(filter(None, (seen, *(problem.seen for problem in problems))))
    return Verdict(worst.verdict, told, worst.wanted, worst.fix)


def _added(terms: Sequence[MemoryTerm]) -> str:
    """With the source behind the terms that it is of."""
    groups: dict[str, list[str]] = {}
    for term in terms:
        groups.setdefault(term.source, []).append(f"{term.name} {term.size / GIB:.1f}")
    return " + ".join(f"{' + '.join(names)} [{source}]" for source, names in groups.items())


def _outside_problem(engine: EngineShape, utilization: float, usable: int) -> Verdict | None:
    """What lives outside the share: vLLM refuses to start unless the share is free beside it, and
    what grows later has to go somewhere."""
    beside, rest = beside_terms(engine), usable - int(usable * utilization)
    taken = sum(term.size for term in beside)
    grown = OVERRUN + (NVSHMEM if engine.backend in WITH_NVSHMEM else 0)
    if rest >= taken + grown and utilization <= MOST_UTILIZATION:
        return None
    names = " + ".join(f"{term.name} {term.size / GIB:.1f}" for term in beside)
    seen = f"{rest / GIB:.1f} GiB are left beside vLLM's share, for {names} [measured]"
    most = min(MOST_UTILIZATION, (usable - taken - grown) / usable)
    wanted = f"gpu_memory_utilization of at most {int(most * 100) / 100:g}"
    fix = f"Lower engines.{engine.name}.gpu_memory_utilization."
    if rest < taken:
        why = "vLLM wants its share free at the start, and refuses"
        return Verdict("FAIL", f"{seen}: {why}", wanted, fix)
    why = f"graphs and communication may grow by {grown / GIB:.1f}"
    return Verdict("WARN", f"{seen}; {why}", wanted, fix)


def _buffer_problem(terms: Sequence[MemoryTerm]) -> Verdict | None:
    """DeepEP and its descendant in NIXL count a buffer's bytes by sixteens, in an int."""
    for term in terms:
        own = term.size - (DEEPEP_BUFFER if term.name == "DeepEP" else 0)
        if term.source == "LowLatencyLayout" and own >= MOST_BUFFER:
            seen = f"{term.name} asserts buffers of less than {MOST_BUFFER // GIB} GiB"
            wanted = f"less than {MOST_BUFFER // GIB} GiB of buffers"
            return Verdict("FAIL", seen, wanted, "Lower max_num_batched_tokens.")
    return None


CHECKS: dict[str, CheckFunction] = {"cfg.memory": for_gpus(memory)}
