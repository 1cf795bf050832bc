"""Whether the plan's numbers agree with each other and with the model: experts over ranks, DeepEP's
kernels."""

from collections.abc import Iterator
from typing import Any

from dsr1.env.checks.judging import (
    CheckFunction,
    EngineShape,
    Requirements,
    Verdict,
    known,
    on_gpus,
    passed,
)
from dsr1.hosts.protocol.fact import Facts

# What vLLM's and DeepEP's low-latency kernels are compiled for.
HIDDEN_SIZES = (2048, 2560, 3072, 4096, 5120, 6144, 7168, 8192)
TOP_K_MOST = 11
QUEUE_DEPTH = 1024


def plan_fits(facts: Facts, needs: Requirements) -> Verdict:
    model = known(facts, "model.config")
    configs = [(share, share.config_of(model)) for share in needs.shares]
    wrong = [
        f"{share.engine}: {text}" for share, config in configs for text in _troubles(share, config)
    ]
    seen = "; ".join(wrong) or "; ".join(_summary(share, config) for share, config in configs)
    fix = (
        "Change num_redundant_experts, the number of ranks, max_num_batched_tokens or"
        " all2all_backend in the recipe."
    )
    return passed(not wrong, "FAIL", seen, "numbers that the model and the kernels allow", fix)


def _summary(share: EngineShape, config: dict[str, Any]) -> str:
    experts = config["n_routed_experts"] + share.redundant_experts
    return f"{share.engine}: {experts} experts over {share.expert_ranks} ranks"


def _troubles(share: EngineShape, config: dict[str, Any]) -> Iterator[str]:
    experts = config["n_routed_experts"] + share.redundant_experts
    if share.expert_parallel and experts % share.expert_ranks:
        yield (
            f"{experts} experts ({share.redundant_experts} redundant) can't be dealt evenly to"
            f" {share.expert_ranks}"
        )
    if share.backend == "deepep_low_latency":
        yield from _low_latency(share, config)


def _low_latency(share: EngineShape, config: dict[str, Any]) -> Iterator[str]:
    if config["hidden_size"] not in HIDDEN_SIZES:
        yield (
            f"hidden_size {config['hidden_size']} is none of the low-latency kernels':"
            f" {HIDDEN_SIZES}"
        )
    if config["num_experts_per_tok"] > TOP_K_MOST:
        yield (
            f"{config['num_experts_per_tok']} experts a token, the low-latency kernels take"
            f" {TOP_K_MOST}"
        )
    depth = share.queue_depth or QUEUE_DEPTH
    if share.tokens and depth < 2 * (share.tokens + 1):
        yield (
            f"NVSHMEM_QP_DEPTH {depth} is less than 2 * ({share.tokens} tokens + 1): DeepEP"
            " asserts it"
        )


JUDGES: dict[str, CheckFunction] = {"cfg.plan": on_gpus(plan_fits)}
