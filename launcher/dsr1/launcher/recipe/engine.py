"""One engine of a recipe: its role and its hosts, its parallelism, and the sizes that vLLM must
accept together.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from dsr1.launcher.recipe.flag_table import CHUNKED_PREFILL, LOAD_FORMAT, OVERRIDES, SPECULATION
from dsr1.launcher.recipe.flags import joined_argument
from dsr1.launcher.recipe.types import (
    Arguments,
    Count,
    Environment,
    Json,
    LocalCount,
    NodeCount,
    RankCount,
    RecipePart,
    Text,
)

LOW_LATENCY = ("deepep_low_latency", "nixl_ep")
MICROBATCHING = (*LOW_LATENCY, "deepep_high_throughput")
DEFAULT_LOW_LATENCY_TOKENS = 256
CONNECTORS = {"nixl": "NixlConnector", "lmcache": "LMCacheConnectorV1", "kvbm": "DynamoConnector"}
"""A recipe's names for them, and vLLM's."""
QUEUE_DEPTH = "NVSHMEM_QP_DEPTH"


class Eplb(RecipePart):
    """Expert load balancing; field names are those of vLLM's --eplb-config. What is None is left to
    vLLM."""

    window_size: Count = 1000
    step_interval: Count = 3000
    num_redundant_experts: Annotated[int, Field(ge=0)] = 0
    log_balancedness: bool = False
    log_balancedness_interval: Count | None = None
    use_async: bool | None = None
    policy: Text | None = None
    communicator: Text | None = None


class Dbo(RecipePart):
    """Dual batch overlap: the fewest tokens of a batch that is split in two."""

    decode_token_threshold: Annotated[int, Field(ge=2)] = 32
    prefill_token_threshold: Annotated[int, Field(ge=2)] = 512


class Engine(RecipePart):
    """One DEP group: ranks that live and die together, spread over `nodes` hosts; `replicas` of it,
    each on its own.

    `kv_transfer` moves KV caches: nixl, lmcache, kvbm, or vLLM's own --kv-transfer-config as a
    mapping. Engines with role prefill or decode use nixl unless it says otherwise. `kv_events`
    publishes what is cached, for a KV-aware router.
    """

    role: Literal["aggregated", "prefill", "decode"] = "aggregated"
    layout: Literal["per_node", "per_gpu", "headless"] = "per_node"
    replicas: NodeCount = 1
    nodes: NodeCount | Literal["all"] = "all"
    ranks_per_node: LocalCount | None = None
    tensor_parallel_size: LocalCount = 1
    data_parallel_size: RankCount | Literal["all"] = "all"
    expert_parallel: bool = True
    eplb: Eplb | None = None
    dbo: Dbo | None = None
    all2all_backend: Text | None = None
    moe_backend: Text | None = None
    max_model_len: Count | None = None
    max_num_seqs: Count | None = None
    max_num_batched_tokens: Count | None = None
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] | None = None
    enforce_eager: bool = False
    compilation_config: Json | None = None
    kv_transfer: Literal["nixl", "lmcache", "kvbm"] | Json | None = None
    kv_events: bool = False
    args: Arguments = {}
    env: Environment = {}

    @model_validator(mode="after")
    def _consistent(self) -> "Engine":
        problem = next(filter(None, (check(self) for check in _CHECKS)), None)
        if problem:
            raise ValueError(problem)
        return self

    @property
    def overrides(self) -> Mapping[str, Any]:
        """What replaces values of the model's config.json: vLLM's --hf-overrides as a
        mapping."""
        own = joined_argument(self.args, OVERRIDES)
        return own if isinstance(own, dict) else {}

    @property
    def predicts(self) -> bool:
        """Whether it drafts tokens with layers of the model's own (MTP), and so loads them."""
        own = joined_argument(self.args, SPECULATION)
        return isinstance(own, dict) and str(own.get("method", "")).endswith("mtp")

    @property
    def draft_model(self) -> str:
        """Another model that drafts tokens, a folder or a hub's id; empty: none does."""
        own = joined_argument(self.args, SPECULATION)
        model = own.get("model") if isinstance(own, dict) and not self.predicts else None
        return model if isinstance(model, str) and not self.has_dummy_weights else ""

    @property
    def has_dummy_weights(self) -> bool:
        """Random ones, made on the spot: nothing is read."""
        return self.args.get(LOAD_FORMAT) == "dummy"

    @property
    def least_nodes(self) -> int:
        """Of all replicas; `all` counts as one."""
        return self.replicas * (1 if self.nodes == "all" else self.nodes)

    @property
    def least_ranks(self) -> int:
        """Of all replicas, as far as the recipe says it."""
        ranks = self.least_nodes * (self.ranks_per_node or 1)
        if self.data_parallel_size == "all":
            return ranks
        return max(ranks, self.replicas * self.data_parallel_size)

    @property
    def is_one_rank(self) -> bool:
        """Surely, of each replica: it has nobody to send tokens to, and vLLM then runs no all2all
        kernels."""
        return self.nodes == 1 and 1 in (self.ranks_per_node, self.data_parallel_size)

    @property
    def token_budget(self) -> int | None:
        """Tokens per step and rank, where it is known. 256 is vLLM's own for the low-latency
        backends since 0.33."""
        low_latency = self.all2all_backend in LOW_LATENCY
        return self.max_num_batched_tokens or (DEFAULT_LOW_LATENCY_TOKENS if low_latency else None)

    @property
    def connector(self) -> str | dict[str, Any] | None:
        """How KV caches move: as the recipe says; NIXL where prefill and decode are apart."""
        return self.kv_transfer or (None if self.role == "aggregated" else "nixl")

    @property
    def connectors(self) -> tuple[str, ...]:
        """The names of vLLM's connectors in it, those inside a wrapping one included."""
        connector = self.connector
        if isinstance(connector, dict):
            return (str(connector.get("kv_connector")), *_inner_connectors(connector))
        if connector is None:
            return ()
        if self.role == "aggregated" or connector == "nixl":
            return (CONNECTORS[connector],)
        cache = (CONNECTORS[connector],) if self.role == "prefill" else ()
        return (*cache, CONNECTORS["nixl"])


def _inner_connectors(connector: Mapping[str, Any]) -> tuple[str, ...]:
    extra = connector.get("kv_connector_extra_config")
    parts = extra.get("connectors") if isinstance(extra, dict) else None
    if not isinstance(parts, list):
        return ()
    return tuple(str(part.get("kv_connector")) for part in parts if isinstance(part, dict))


def _sequences_fit(engine: Engine) -> str:
    tokens = engine.token_budget
    if engine.max_num_seqs and tokens and tokens < engine.max_num_seqs:
        return (
            f"max_num_batched_tokens is {tokens}, vLLM wants at least max_num_seqs"
            f" ({engine.max_num_seqs})"
        )
    return ""


def _whole_prompts_fit(engine: Engine) -> str:
    """Without chunks a prompt must fit into one step."""
    if engine.args.get(CHUNKED_PREFILL) is not False:
        return ""
    tokens, length = engine.token_budget, engine.max_model_len
    if not tokens or not length or tokens >= length:
        return ""
    return (
        f"max_num_batched_tokens is {tokens}: without chunked prefill it must reach max_model_len"
        f" ({length})"
    )


def _eplb_has_experts(engine: Engine) -> str:
    return "eplb needs expert_parallel: true" if engine.eplb and not engine.expert_parallel else ""


def _dbo_has_backend(engine: Engine) -> str:
    if engine.dbo is None or engine.all2all_backend in MICROBATCHING:
        return ""
    backend = engine.all2all_backend or "vLLM's default"
    return f"dbo needs all2all_backend {', '.join(MICROBATCHING)}; it is {backend}"


def _connector_named(engine: Engine) -> str:
    if not isinstance(engine.kv_transfer, dict) or isinstance(
        engine.kv_transfer.get("kv_connector"), str
    ):
        return ""
    return (
        "kv_transfer: a mapping is vLLM's own and names kv_connector; shorter are"
        f" {', '.join(CONNECTORS)}"
    )


def _events_are_read(engine: Engine) -> str:
    """Dynamo's worker reads its ranks' events on its own host, and a headless node has no
    worker."""
    several = engine.nodes == "all" or engine.nodes > 1
    if not engine.kv_events or engine.layout != "headless" or not several:
        return ""
    return "kv_events: nobody reads those of a headless node; use layout per_node or per_gpu"


_CHECKS = (
    _sequences_fit,
    _whole_prompts_fit,
    _eplb_has_experts,
    _dbo_has_backend,
    _connector_named,
    _events_are_read,
)
