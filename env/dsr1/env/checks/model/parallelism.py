"""Whether the plan's numbers agree with each other and with the model: experts over ranks, DeepEP's
kernels."""

from collections.abc import Iterator
from typing import Any

from dsr1.env.checks.judging import CheckFunction, Verdict, for_gpus, known, pass_if
from dsr1.env.checks.requirements import EngineShape, Requirements
from dsr1.hosts.protocol.facts.fact import Facts

# What vLLM's and DeepEP's low-latency kernels are compiled for.
HIDDEN_SIZES = (2048, 2560, 3072, 4096, 5120, 6144, 7168, 8192)
MOST_EXPERTS_PER_TOKEN = 11
QUEUE_DEPTH = 1024


def plan_fits_model(facts: Facts, requirements: Requirements) -> Verdict:
    model = known(facts, "model.config")
    summaries, problems = [], []
    for engine in requirements.engines:
        config = engine.config_of(model)
        summaries.append(f"{engine.name}: {_summary(engine, config)}")
        problems += [f"{engine.name}: {problem}" for problem in _problems(engine, config)]
    fix = (
        "Change num_redundant_experts, the number of ranks, max_num_batched_tokens or"
        " all2all_backend in the recipe."
    )
    wanted = "numbers that the model and the kernels allow"
    return pass_if(not problems, "FAIL", "; ".join(problems or summaries), wanted, fix)


def _summary(engine: EngineShape, config: dict[str, Any]) -> str:
    return f"{_experts(engine, config)} experts over {engine.expert_ranks} ranks"


def _experts(engine: EngineShape, config: dict[str, Any]) -> int:
    experts: int = config["n_routed_experts"] + engine.redundant_experts
    return experts


def _problems(engine: EngineShape, config: dict[str, Any]) -> Iterator[str]:
    experts = _experts(engine, config)
    if engine.expert_parallel and experts % engine.expert_ranks:
        yield (
            f"{experts} experts ({engine.redundant_experts} redundant) can't be divided evenly"
            f" among {engine.expert_ranks} ranks"
        )
    if engine.backend == "deepep_low_latency":
        yield from _low_latency_problems(engine, config)


def _low_latency_problems(engine: EngineShape, config: dict[str, Any]) -> Iterator[str]:
    hidden_size, per_token = config["hidden_size"], config["num_experts_per_tok"]
    if hidden_size not in HIDDEN_SIZES:
        sizes = ", ".join(map(str, HIDDEN_SIZES))
        yield f"hidden_size {hidden_size}, but the low-latency kernels take {sizes}"
    if per_token > MOST_EXPERTS_PER_TOKEN:
        yield (
            f"{per_token} experts a token, but the low-latency kernels take at most"
            f" {MOST_EXPERTS_PER_TOKEN}"
        )
    depth = engine.queue_depth or QUEUE_DEPTH
    if engine.tokens and depth < 2 * (engine.tokens + 1):
        yield (
            f"NVSHMEM_QP_DEPTH {depth} is less than 2 * ({engine.tokens} tokens + 1), which DeepEP"
            " asserts"
        )


CHECKS: dict[str, CheckFunction] = {"cfg.plan": for_gpus(plan_fits_model)}
