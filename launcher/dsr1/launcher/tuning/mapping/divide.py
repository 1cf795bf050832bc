"""What of a model a mapping doesn't divide, in words. Pure.

As vLLM has it: attention heads, dense layers and shared experts over a rank's GPUs; experts whole
over all GPUs, or without expert parallelism a slice of each on every GPU (FusedMoE flattens tensor
parallelism across data parallel ranks). A slice ends where an FP8 block does.
"""

from collections.abc import Iterator

from dsr1.launcher.layout.topology import GPUS_PER_NODE
from dsr1.launcher.tuning.mapping.dimensions import Dimensions
from dsr1.launcher.tuning.mapping.label import ParallelMapping


def mapping_problems(
    mapping: ParallelMapping, sizes: Dimensions, redundant: int = 0, per_host: int = GPUS_PER_NODE
) -> list[str]:
    """Empty: the model can be divided so."""
    if mapping.experts and not sizes.is_moe:
        return [f"{mapping.label}: the model has no routed experts; tp or dp are for dense ones"]
    found = [
        *_tensor_problems(mapping.tensor, sizes),
        *_expert_problems(mapping, sizes, redundant),
        *_host_problems(mapping, per_host),
    ]
    return [f"{mapping.label}: {problem}" for problem in found]


def _tensor_problems(tensor: int, sizes: Dimensions) -> Iterator[str]:
    yield from _uneven(sizes.heads, "attention heads", tensor)
    if not sizes.has_latent_cache and sizes.kv_heads % tensor and tensor % sizes.kv_heads:
        yield f"{sizes.kv_heads} KV heads and {tensor} GPUs: neither divides the other"
    yield from _slices(sizes.intermediate, "intermediate_size", tensor, sizes.block)


def _expert_problems(mapping: ParallelMapping, sizes: Dimensions, redundant: int) -> Iterator[str]:
    if not sizes.is_moe:
        return
    if not mapping.experts:
        yield from _slices(
            sizes.moe_intermediate, "moe_intermediate_size", mapping.gpus, sizes.block
        )
        return
    experts = sizes.experts + redundant
    words = f"experts, {redundant} of them redundant," if redundant else "experts"
    yield from _uneven(experts, words, mapping.gpus)
    yield from _slices(sizes.moe_intermediate, "moe_intermediate_size", mapping.tensor, sizes.block)


def _host_problems(mapping: ParallelMapping, per_host: int) -> Iterator[str]:
    if mapping.tensor > per_host:
        yield (
            f"a rank of {mapping.tensor} GPUs is wider than a host, which has {per_host}; dsr1"
            " starts no rank over several hosts"
        )
    elif mapping.gpus > per_host and mapping.gpus % (per_host // mapping.tensor * mapping.tensor):
        yield f"{mapping.data} ranks can't be dealt evenly to hosts of {per_host} GPUs"


def _uneven(count: int, what: str, parts: int) -> Iterator[str]:
    if count % parts:
        fit = [number for number in range(1, parts) if count % number == 0][-1]
        yield f"{count} {what} can't be divided evenly among {parts} GPUs; {fit} would do"


def _slices(size: int, key: str, parts: int, block: int) -> Iterator[str]:
    if size % parts:
        yield from _uneven(size, f"columns ({key})", parts)
    elif block and size // parts % block:
        yield (
            f"{key} {size} over {parts} GPUs is {size // parts} each, no multiple of the"
            f" {block} of an FP8 block"
        )
