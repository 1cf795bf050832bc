"""Whether an engine of a recipe fits a GPU, and how many tokens its KV cache then has room for: the
arithmetic of check cfg.memory. Pure."""

from dsr1.env.checks.model.memory import fit, make_batch, memory_terms
from dsr1.env.checks.requirements import EngineShape
from dsr1.env.model_memory import BF16, kv_bytes_per_token, parse_shape, share_of
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.launcher.tuning.mapping.dimensions import ModelConfig

VLLM = "0.31.0"
GPU_BYTES = {"h100": 81559 * 2**20, "h200": 143771 * 2**20}
"""What NVML says of them."""


@dataclass(frozen=True, slots=True)
class KvRoom:
    """`problem` says why it doesn't fit; empty: it does. `tokens` of a rank's KV cache."""

    tokens: int
    problem: str = ""


def kv_room(config: ModelConfig, engine: EngineShape, gpu_bytes: int) -> KvRoom:
    """InputError: the model's config.json isn't one that memory is known of."""
    try:
        shape = parse_shape(engine.config_of(config.values), engine.quantization)
    except ValueError as error:
        raise InputError(f"{config.source}: {error}") from None
    batch = make_batch(engine, shape, VLLM)
    verdict = fit(shape, engine, batch, gpu_bytes)
    size = 1 if engine.cache_dtype.startswith("fp8") else BF16
    taken = sum(term.size for term in memory_terms(shape, engine, batch))
    left = share_of(gpu_bytes, batch.utilization) - taken
    tokens = max(0, left) // kv_bytes_per_token(shape, int(engine.predicts), size)
    return KvRoom(tokens, verdict.seen if verdict.verdict == "FAIL" else "")
