"""Every flag of vLLM's and Dynamo's that a recipe has a key of its own for: one row each.

A row is read where the flag is rendered (`commands.vllm_arguments`), refused among `args`
(`recipe.flags`) and imported (`importing.vllm.flag_handlers`); docs/recipes.md names it beside its
key. A new one is a row here, a field of the Engine, and a line of that page; a test ties the three.
"""

from collections.abc import Mapping
from typing import Literal

from dsr1.hosts.dataclass import dataclass

FlagKind = Literal[
    "dsr1's own",  # worked out of several keys; an import leaves it out
    "count",  # a whole number above 0
    "fraction",  # a part of 1
    "switch",
    "text",
    "rank count",  # together they say how many ranks there are and where
    "layout",
    "present",  # on where the recipe has that part
    "special",  # an import has a handler of its own for the flag
]


@dataclass(frozen=True, slots=True)
class RecipeFlag:
    """`name` is the long one without dashes. `key` is the recipe's: an engine's, or one with the
    part that has it in front; `choice` is the value of the key that the flag stands for.

    Where the flag is one key's alone, `is_rendered`: it is written with the key's value, but not
    where that is None or `unwritten`, which is what vLLM does without the flag. `attribute` is
    where the value is read, if not at the key.
    """

    name: str
    key: str
    kind: FlagKind = "dsr1's own"
    choice: str = ""
    short: str = ""
    is_rendered: bool = False
    unwritten: object = None
    attribute: str = ""

    @property
    def owner(self) -> str:
        """What a user is to write instead."""
        return f"{self.key}: {self.choice}" if self.choice else self.key


def _written(
    name: str,
    kind: FlagKind,
    key: str = "",
    *,
    unwritten: object = None,
    attribute: str = "",
    short: str = "",
) -> RecipeFlag:
    key = key or name.replace("-", "_")
    return RecipeFlag(
        name, key, kind, short=short, is_rendered=True, unwritten=unwritten, attribute=attribute
    )


_RENDERED = (
    _written("tensor-parallel-size", "count", unwritten=1, short="-tp"),
    _written("enable-expert-parallel", "switch", "expert_parallel", unwritten=False, short="-ep"),
    _written("all2all-backend", "special"),
    _written("moe-backend", "text"),
    _written("max-model-len", "count"),
    _written("max-num-seqs", "count"),
    # The budget of the low-latency backends is always said: vLLM 0.31 would take thousands.
    _written("max-num-batched-tokens", "count", attribute="token_budget"),
    _written("gpu-memory-utilization", "fraction"),
    _written("enforce-eager", "switch", unwritten=False),
    _written("compilation-config", "special", short="-cc"),
    _written("enable-eplb", "present", "eplb"),
    _written("eplb-config", "special", "eplb"),
    _written("enable-dbo", "present", "dbo"),
    _written("dbo-decode-token-threshold", "special", "dbo.decode_token_threshold"),
    _written("dbo-prefill-token-threshold", "special", "dbo.prefill_token_threshold"),
)
"""In the order of the command line."""

RECIPE_FLAGS = (
    *_RENDERED,
    RecipeFlag("kv-transfer-config", "kv_transfer", "special"),
    RecipeFlag("kv-events-config", "kv_events", "special"),
    RecipeFlag("disaggregation-mode", "role", "special"),
    RecipeFlag("data-parallel-size", "data_parallel_size", "rank count", short="-dp"),
    RecipeFlag("data-parallel-size-local", "ranks_per_node", "rank count", short="-dpl"),
    RecipeFlag("headless", "layout", "layout", "headless"),
    RecipeFlag("data-parallel-rank", "layout", "layout", "per_gpu", "-dpn"),
    RecipeFlag("data-parallel-external-lb", "layout", "layout", "per_gpu", "-dpe"),
    RecipeFlag("data-parallel-multi-port-external-lb", "layout", "layout", "per_gpu", "-dpm"),
    RecipeFlag("data-parallel-hybrid-lb", "layout", "layout", "per_node", "-dph"),
    RecipeFlag("data-parallel-start-rank", "nodes", short="-dpr"),
    RecipeFlag("data-parallel-address", "nodes", short="-dpa"),
    RecipeFlag("data-parallel-rpc-port", "ports.base", short="-dpp"),
    RecipeFlag("model", "model.path"),
    RecipeFlag("served-model-name", "model.served_name"),
    RecipeFlag("host", "frontend.host"),
    RecipeFlag("http-host", "frontend.host"),
    RecipeFlag("port", "frontend.port"),
    RecipeFlag("http-port", "frontend.port"),
    RecipeFlag("tls-cert-path", "frontend.tls"),
    RecipeFlag("tls-key-path", "frontend.tls"),
    RecipeFlag("ssl-certfile", "frontend.tls"),
    RecipeFlag("ssl-keyfile", "frontend.tls"),
    RecipeFlag("api-key", "frontend.api_key_file"),
    RecipeFlag("router-mode", "frontend.router_mode"),
    RecipeFlag("router-replica-sync", "frontend.replicas"),
)
BY_NAME: Mapping[str, RecipeFlag] = {flag.name: flag for flag in RECIPE_FLAGS}

SHORT_NAMES: Mapping[str, str] = {
    **{flag.short: flag.name for flag in RECIPE_FLAGS if flag.short},
    "-ac": "attention-config",
    "-dc": "diffusion-config",
    "-dcp": "decode-context-parallel-size",
    "-dpb": "data-parallel-backend",
    "-n": "nnodes",
    "-O": "optimization-level",
    "-pcp": "prefill-context-parallel-size",
    "-pp": "pipeline-parallel-size",
    "-q": "quantization",
    "-r": "node-rank",
    "-sc": "speculative-config",
}
"""vLLM's short flags, with their dash, to the long names."""

LOAD_FORMAT, OVERRIDES, CHUNKED_PREFILL = "load-format", "hf-overrides", "enable-chunked-prefill"
QUANTIZATION, CACHE_DTYPE, SPECULATION = "quantization", "kv-cache-dtype", "speculative-config"
"""Of `args`: what dsr1 reads, too."""
