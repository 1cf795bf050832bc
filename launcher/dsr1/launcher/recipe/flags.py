"""Command-line flags from a recipe's `args`: which names are dsr1's own, and how a value is
written."""

import json
from collections.abc import Mapping
from typing import TypeVar

OWNED = {
    "model": "model.path",
    "served-model-name": "model.served_name",
    "host": "frontend.host",
    "http-host": "frontend.host",
    "port": "frontend.port",
    "http-port": "frontend.port",
    "router-mode": "frontend.router_mode",
    "headless": "layout: headless",
    "tensor-parallel-size": "tensor_parallel_size",
    "data-parallel-size": "data_parallel_size",
    "data-parallel-size-local": "ranks_per_node",
    "data-parallel-rank": "layout: per_gpu",
    "data-parallel-start-rank": "nodes",
    "data-parallel-address": "nodes",
    "data-parallel-rpc-port": "ports.base",
    "data-parallel-hybrid-lb": "layout: per_node",
    "data-parallel-external-lb": "layout: per_gpu",
    "enable-expert-parallel": "expert_parallel",
    "enable-eplb": "eplb",
    "eplb-config": "eplb",
    "enable-dbo": "dbo",
    "dbo-decode-token-threshold": "dbo.decode_token_threshold",
    "dbo-prefill-token-threshold": "dbo.prefill_token_threshold",
    "all2all-backend": "all2all_backend",
    "max-model-len": "max_model_len",
    "max-num-seqs": "max_num_seqs",
    "max-num-batched-tokens": "max_num_batched_tokens",
    "gpu-memory-utilization": "gpu_memory_utilization",
    "enforce-eager": "enforce_eager",
    "disaggregation-mode": "role",
    "moe-backend": "moe_backend",
    "compilation-config": "compilation_config",
    "kv-transfer-config": "kv_transfer",
    "kv-events-config": "kv_events",
    "router-replica-sync": "frontend.replicas",
}


def flag_name(key: str) -> str:
    """The flag's name without dashes in front: `max_model_len`, `--max-model-len` and
    `max-model-len` are one."""
    return key.removeprefix("--").replace("_", "-")


T = TypeVar("T")


def check_flag_names(args: Mapping[str, T]) -> dict[str, T]:
    """Refuse names that aren't flags, and flags that the recipe has a key of its own for."""
    for key in args:
        name = flag_name(key)
        if not name or not name.replace("-", "").replace(".", "").isalnum() or name.startswith("-"):
            raise ValueError(
                f"{key!r} is not a flag's name; write it as in --help, for example load-format"
            )
        if name in OWNED:
            raise ValueError(f"{key!r} is set by the recipe's own key: {OWNED[name]}")
    return dict(args)


def render_flag(name: str, value: object) -> tuple[str, ...]:
    """One flag: true is the bare flag, false its --no- form, null nothing, lists repeat values,
    mappings are JSON."""
    flag = f"--{flag_name(name)}"
    if value is None:
        return ()
    if isinstance(value, bool):
        return (flag,) if value else (f"--no-{flag_name(name)}",)
    if isinstance(value, list):
        return (flag, *map(str, value))
    return (
        flag,
        json.dumps(value, separators=(",", ":")) if isinstance(value, Mapping) else str(value),
    )


def render_flags(args: Mapping[str, object]) -> tuple[str, ...]:
    """All flags, in the order given."""
    return tuple(part for name, value in args.items() for part in render_flag(name, value))
