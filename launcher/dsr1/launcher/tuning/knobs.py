"""What else may be turned of a deployment, one at a time, once its mapping is chosen. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from dsr1.launcher.recipe.engine import LOW_LATENCY, MICROBATCHING, Engine
from dsr1.launcher.recipe.flag_table import CACHE_DTYPE
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.tuning.candidate import Candidate
from dsr1.launcher.tuning.mapping.convert import KeyChange, KeyValue

Turned = Iterator[tuple[str, KeyValue, KeyValue]]
"""A key below the engine, its new value, and the one that it had."""


def _sequences(engine: Engine) -> Turned:
    if engine.max_num_seqs and engine.role != "prefill":
        doubled = engine.max_num_seqs * 2
        yield "max_num_seqs", doubled, engine.max_num_seqs
        if engine.token_budget and engine.token_budget < doubled:
            yield "max_num_batched_tokens", doubled, engine.max_num_batched_tokens


def _tokens(engine: Engine) -> Turned:
    tokens = engine.max_num_batched_tokens
    if tokens and engine.role != "decode" and engine.all2all_backend not in LOW_LATENCY:
        yield "max_num_batched_tokens", tokens * 2, tokens


def _cache(engine: Engine) -> Turned:
    """The same on both sides of a transfer."""
    if not str(engine.args.get(CACHE_DTYPE) or "").startswith("fp8"):
        was = engine.args.get(CACHE_DTYPE)
        yield f"args.{CACHE_DTYPE}", "fp8", str(was) if was else None


def _balancing(engine: Engine) -> Turned:
    if engine.eplb:
        yield "eplb", None, "set"


def _overlap(engine: Engine) -> Turned:
    if engine.dbo:
        yield "dbo", None, "set"
    elif engine.all2all_backend in MICROBATCHING:
        yield "dbo.decode_token_threshold", 32, None


def _kernels(engine: Engine) -> Turned:
    other = {
        "deepep_low_latency": "deepep_high_throughput",
        "deepep_high_throughput": "deepep_low_latency",
    }
    backend = engine.all2all_backend
    if backend in other and engine.role == "aggregated":
        yield "all2all_backend", other[backend], backend


def _graphs(engine: Engine) -> Turned:
    mode = (engine.compilation_config or {}).get("cudagraph_mode")
    if mode == "FULL_DECODE_ONLY":
        yield "compilation_config.cudagraph_mode", "FULL_AND_PIECEWISE", mode


KNOBS: Mapping[str, Callable[[Engine], Turned]] = {
    "twice the sequences": _sequences,
    "twice the tokens": _tokens,
    "fp8 KV cache": _cache,
    "no expert balancing": _balancing,
    "dual batch overlap turned": _overlap,
    "other all-to-all kernels": _kernels,
    "graphs of mixed batches, too": _graphs,
}
"""In the order that they are tried in."""


def variants(candidate: Candidate, recipe: Recipe) -> Iterator[Candidate]:
    """`recipe` is the candidate's. What changes nothing of it is none."""
    for knob, turn in KNOBS.items():
        turned = tuple(
            KeyChange(f"engines.{name}.{key}", value, was, knob)
            for name, engine in recipe.engines.items()
            for key, value, was in turn(engine)
        )
        if turned:
            yield replace(
                candidate, changes=(*candidate.changes, *turned), knob=knob, is_given=False
            )
