"""An engine in another mapping: every key that hangs on it, with why. Pure."""

from collections.abc import Iterator
from typing import TypeAlias

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.names import counted
from dsr1.launcher.layout.topology import GPUS_PER_NODE
from dsr1.launcher.recipe.engine import LOW_LATENCY, Engine
from dsr1.launcher.recipe.flag_table import CHUNKED_PREFILL
from dsr1.launcher.tuning.mapping.dimensions import Dimensions
from dsr1.launcher.tuning.mapping.divide import mapping_problems
from dsr1.launcher.tuning.mapping.label import ParallelMapping

VLLM_TOKENS = 8192  # its default for servers on GPUs of 70 GiB and more
MOST_PREFILL_TOKENS = 32768  # Dynamo's profiler stops there: activations grow, the rate doesn't
EP_FILTER = "enable-ep-weight-filter"
MULTIPLIERS = ("pipeline-parallel-size", "prefill-context-parallel-size")
DECODE_CONTEXT = "decode-context-parallel-size"

KeyValue: TypeAlias = str | int | bool | None


@dataclass(frozen=True, slots=True)
class KeyChange:
    """`key` is below the engine; `value` None: the key is taken out."""

    key: str
    value: KeyValue
    was: KeyValue
    why: str


@dataclass(frozen=True, slots=True)
class _Case:
    """An engine, where it goes, and what it is made of. `per_host` are GPUs; 1 on a CPU, where a
    node is a rank."""

    name: str
    engine: Engine
    to: ParallelMapping
    sizes: Dimensions
    per_host: int


def convert_engine(
    name: str,
    engine: Engine,
    to: ParallelMapping,
    sizes: Dimensions,
    per_host: int = GPUS_PER_NODE,
    on_cpu: bool = False,
) -> list[KeyChange]:
    """InputError: the model or the engine can't be divided so, each reason on a line."""
    case = _Case(name, engine, to, sizes, to.tensor if on_cpu else per_host)
    problems = [
        *mapping_problems(to, sizes, _redundant(case) or 0, case.per_host),
        *_argument_problems(engine, to),
    ]
    if problems:
        raise InputError("\n".join(f"engines.{name}: {problem}" for problem in problems))
    steps = (_degrees, _places, _kernels, _balancing, _filter, _limits)
    return [change for step in steps for change in step(case) if change.value != change.was]


def _argument_problems(engine: Engine, to: ParallelMapping) -> Iterator[str]:
    for name in MULTIPLIERS:
        if (size := engine.args.get(name)) not in (None, 1):
            yield f"args.{name} is {size}, which no mapping here speaks of; take it out first"
    context = engine.args.get(DECODE_CONTEXT)
    if isinstance(context, int) and context > 0 and to.tensor % context:
        yield f"args.{DECODE_CONTEXT} {context} doesn't divide {to.tensor} GPUs of a rank"


def _degrees(case: _Case) -> Iterator[KeyChange]:
    engine, to = case.engine, case.to
    yield KeyChange(
        "tensor_parallel_size",
        to.tensor,
        engine.tensor_parallel_size,
        f"{to.label}: GPUs of a rank",
    )
    why = "whole experts on each GPU" if to.experts else "a slice of every expert on each GPU"
    yield KeyChange("expert_parallel", to.experts, engine.expert_parallel, f"{to.label}: {why}")


def _places(case: _Case) -> Iterator[KeyChange]:
    engine, to = case.engine, case.to
    local = min(to.data, case.per_host // to.tensor)
    nodes = to.data // local
    why = f"{counted(to.data, 'rank')} of {counted(to.tensor, 'GPU')} on {counted(nodes, 'host')}"
    yield KeyChange("nodes", nodes, engine.nodes, why)
    yield KeyChange("ranks_per_node", local, engine.ranks_per_node, why)
    if engine.data_parallel_size != "all":
        yield KeyChange("data_parallel_size", to.data, engine.data_parallel_size, to.label)


def _kernels(case: _Case) -> Iterator[KeyChange]:
    """vLLM runs all-to-all kernels, and splits a batch in two around them, with data and expert
    parallelism together only."""
    if case.to.dispatches:
        return
    why = f"{case.to.label} has no all-to-all: no tokens go to other ranks"
    yield KeyChange("all2all_backend", None, case.engine.all2all_backend, why)
    if case.engine.dbo:
        yield KeyChange("dbo", None, "set", why)


def _redundant(case: _Case) -> int | None:
    """As many redundant experts as there were, and what makes all divisible. None: no balancing."""
    eplb = case.engine.eplb
    if eplb is None or not case.to.experts or case.to.gpus == 1:
        return None
    return eplb.num_redundant_experts + -(case.sizes.experts + eplb.num_redundant_experts) % (
        case.to.gpus
    )


def _balancing(case: _Case) -> Iterator[KeyChange]:
    eplb, redundant = case.engine.eplb, _redundant(case)
    if eplb is None:
        return
    if redundant is None:
        yield KeyChange("eplb", None, "set", f"{case.to.label} has no experts to deal")
        return
    experts, gpus = case.sizes.experts, case.to.gpus
    why = f"{experts} + {redundant} experts are {(experts + redundant) // gpus} on each of {gpus}"
    yield KeyChange("eplb.num_redundant_experts", redundant, eplb.num_redundant_experts, why)


def _filter(case: _Case) -> Iterator[KeyChange]:
    if EP_FILTER in case.engine.args and not case.to.experts:
        why = f"{case.to.label}: every GPU reads a slice of all experts"
        yield KeyChange(f"args.{EP_FILTER}", None, True, why)


def _limits(case: _Case) -> Iterator[KeyChange]:
    """Both are of a rank. With MLA a rank's KV cache is one GPU's, whatever its width; other caches
    are divided among its GPUs."""
    engine = case.engine
    sequences = _sequences(case)
    if sequences is not None:
        ratio = f"a rank has {case.to.tensor} GPUs, and had {engine.tensor_parallel_size}"
        yield KeyChange("max_num_seqs", sequences, engine.max_num_seqs, f"per rank: {ratio}")
    tokens = _tokens(case, sequences or 0)
    if tokens is not None:
        why = _tokens_why(case)
        yield KeyChange("max_num_batched_tokens", tokens, engine.max_num_batched_tokens, why)


def _sequences(case: _Case) -> int | None:
    old = case.engine.max_num_seqs
    if old is None or case.sizes.has_latent_cache:
        return old
    return max(1, old * case.to.tensor // case.engine.tensor_parallel_size)


def _leaves_low_latency(case: _Case) -> bool:
    return case.engine.all2all_backend in LOW_LATENCY and not case.to.dispatches


def _tokens(case: _Case, sequences: int) -> int | None:
    engine = case.engine
    old, fewest = engine.max_num_batched_tokens, _fewest_tokens(engine, sequences)
    if old is None:
        return None if not fewest or fewest <= (engine.token_budget or VLLM_TOKENS) else fewest
    if engine.role == "decode":
        return max(old, fewest)
    if _leaves_low_latency(case):
        return max(VLLM_TOKENS, fewest)
    if engine.all2all_backend in LOW_LATENCY:
        return max(old, fewest)
    scaled = old * case.to.tensor // engine.tensor_parallel_size
    return max(min(scaled, max(MOST_PREFILL_TOKENS, old)), fewest, 1)


def _fewest_tokens(engine: Engine, sequences: int) -> int:
    """vLLM wants a token for each sequence, and a whole prompt where prompts aren't cut."""
    whole = engine.max_model_len or 0 if engine.args.get(CHUNKED_PREFILL) is False else 0
    return max(sequences, whole)


def _tokens_why(case: _Case) -> str:
    if _leaves_low_latency(case) and case.engine.role != "decode":
        return "per rank: no low-latency buffer bounds it any more; vLLM's own default"
    if case.engine.role == "decode":
        return "per rank: at least one for each sequence"
    return (
        f"per rank, whose GPUs share its work: {case.to.tensor}, and were"
        f" {case.engine.tensor_parallel_size}"
    )
