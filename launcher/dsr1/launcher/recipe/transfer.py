"""What engines that hand KV caches to each other must agree on. Pure.

vLLM's NIXL connector hashes most of it and compares the hashes at the first request, after both
engines have loaded (compute_nixl_compatibility_hash in v1/nixl/metadata.py of vLLM 0.31, and
_validate_remote_agent_handshake beside it). The installed vLLM's own hash is asked by a check,
sw.handshake; this is what a recipe says by itself.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import product

from dsr1.launcher.recipe.engine import Engine
from dsr1.launcher.recipe.flag_table import CACHE_DTYPE, OVERRIDES, SPECULATION
from dsr1.launcher.recipe.flags import joined_argument

HYBRID_OFF = "disable-hybrid-kv-cache-manager"
KEEPS_HYBRID = (
    "NixlConnector",
    "NixlPullConnector",
    "NixlPushConnector",
    "MultiConnector",
    "PdConnector",
    "MooncakeConnector",
    "MooncakeStoreConnector",
    "MoRIIOConnector",
    "OffloadingConnector",
    "SimpleCPUOffloadConnector",
)
"""vLLM's connectors that implement SupportsHMA, and wrappers, which do where all inside do."""
MOVERS = (
    "NixlConnector",
    "NixlPullConnector",
    "NixlPushConnector",
    "MooncakeConnector",
    "MoRIIOConnector",
    "P2pNcclConnector",
)
"""vLLM's connectors that hand caches from engine to engine; others are stores, beside one of these
or by themselves, and wrappers."""
PACKAGES = {"LMCacheConnectorV1": "lmcache", "DynamoConnector": "kvbm", "PdConnector": "kvbm"}
"""Distributions that connectors come from, of those that vLLM doesn't bring."""
WITHOUT_CACHE = ("ngram", "suffix", "medusa", "mlp_speculator")
"""Ways to speculate that keep no KV cache of their own."""
DRAFTS = ("method", "model", "revision", "code_revision", "parallel_drafting", "kv_cache_dtype")
DTYPES = {None: "bfloat16", "auto": "bfloat16", "half": "float16", "float": "float32"}
ARGUMENTS = (
    ("block-size", "auto"),
    ("hf-config-path", "none"),
    ("kv-cache-dtype-skip-layers", "none"),
    ("decode-context-parallel-size", 1),
    ("revision", "none"),
)
"""Flags, and what vLLM takes them for when they aren't there."""
VARIABLES = ("VLLM_MLA_DISABLE", "VLLM_KV_CACHE_LAYOUT", "VLLM_ATTENTION_BACKEND")


def hybrid_is_off(engines: Iterable[Engine]) -> bool:
    """Whether dsr1 turns the hybrid KV-cache manager off on both sides: a connector of one doesn't
    keep it, so vLLM, or Dynamo, would turn it off on that side alone."""
    return any(
        name not in KEEPS_HYBRID
        for engine in engines
        if engine.role != "aggregated"
        for name in engine.connectors
    )


def connector_packages(engines: Iterable[Engine]) -> tuple[str, ...]:
    """What the runtime must have beside vLLM. A cache before NIXL is within a connector of
    kvbm's, whichever it is (see commands.kv_transfer)."""
    found: list[str] = []
    for engine in engines:
        names = [PACKAGES[name] for name in engine.connectors if name in PACKAGES]
        within = names and engine.role == "prefill" and isinstance(engine.connector, str)
        found += [*names, *(("kvbm",) if within else ())]
    return tuple(dict.fromkeys(found))


def transfer_problem(engines: Mapping[str, Engine], env: Mapping[str, str]) -> str:
    """The first thing that a prefill and a decode engine differ in; empty: they agree. `env` is of
    all engines."""
    off = hybrid_is_off(engines.values())
    sides = {
        role: [(name, engine) for name, engine in engines.items() if engine.role == role]
        for role in ("prefill", "decode")
    }
    for (giver, one), (taker, other) in product(sides["prefill"], sides["decode"]):
        for what, value_of in _FACTORS.items():
            pair = tuple(value_of(engine, env, off) for engine in (one, other))
            if pair[0] != pair[1]:
                return _refusal(giver, taker, what, *pair)
        if problem := _tensor_problem(giver, taker, one, other):
            return problem
    return ""


def _refusal(giver: str, taker: str, what: str, one: str, other: str) -> str:
    return (
        f"engines.{giver} and engines.{taker} can't hand over KV caches: {what} is {one} in"
        f" {giver} and {other} in {taker}; vLLM's handshake refuses that after both have loaded."
        " Give both the same"
    )


def _tensor_problem(giver: str, taker: str, one: Engine, other: Engine) -> str:
    sizes = one.tensor_parallel_size, other.tensor_parallel_size
    if max(sizes) % min(sizes) == 0:
        return ""
    return (
        f"engines.{giver} and engines.{taker} can't hand over KV caches: tensor_parallel_size is"
        f" {sizes[0]} in {giver} and {sizes[1]} in {taker}, and neither divides the other"
    )


def _connector(engine: Engine, env: Mapping[str, str], off: bool) -> str:
    """Who hands over, where that is known; a store in front of it is of one engine alone."""
    movers = [name for name in engine.connectors if name in MOVERS]
    return ", ".join(dict.fromkeys(movers)) or ", ".join(engine.connectors)


def _hybrid(engine: Engine, env: Mapping[str, str], off: bool) -> str:
    said = engine.args.get(HYBRID_OFF)
    return "off" if (off if said is None else said) else "on"


def _speculation(engine: Engine, env: Mapping[str, str], off: bool) -> str:
    own = joined_argument(engine.args, SPECULATION)
    if not isinstance(own, dict) or str(own.get("method")) in WITHOUT_CACHE:
        return "none"
    return ", ".join(f"{key} {own[key]}" for key in DRAFTS if own.get(key) is not None)


def _attention(engine: Engine, env: Mapping[str, str], off: bool) -> str:
    own = joined_argument(engine.args, "attention-config")
    backend = own.get("backend") if isinstance(own, dict) else None
    return str(engine.args.get("attention-backend") or backend or "vLLM's choice").upper()


def _dtype(engine: Engine, env: Mapping[str, str], off: bool) -> str:
    said = engine.args.get("dtype")
    return str(DTYPES.get(said, said)) if isinstance(said, str | None) else str(said)


def _overrides(engine: Engine, env: Mapping[str, str], off: bool) -> str:
    return ", ".join(f"{key} {value}" for key, value in sorted(engine.overrides.items())) or "none"


Factor = Callable[[Engine, Mapping[str, str], bool], str]


def _argument(name: str, default: object) -> Factor:
    def value_of(engine: Engine, env: Mapping[str, str], off: bool) -> str:
        said = engine.args.get(name)
        return str(default if said is None else said)

    return value_of


def _variable(name: str) -> Factor:
    def value_of(engine: Engine, env: Mapping[str, str], off: bool) -> str:
        return {**env, **engine.env}.get(name) or "unset"

    return value_of


_FACTORS: Mapping[str, Factor] = {
    "the connector": _connector,
    f"args.{CACHE_DTYPE}": _argument(CACHE_DTYPE, "auto"),
    "args.dtype": _dtype,
    "the attention backend": _attention,
    f"args.{SPECULATION}": _speculation,
    "the hybrid KV-cache manager": _hybrid,
    f"args.{OVERRIDES}": _overrides,
    **{f"args.{name}": _argument(name, default) for name, default in ARGUMENTS},
    **{name: _variable(name) for name in VARIABLES},
}
