"""One worker service to a draft of one engine: its program's flags, its variables, and what the two
settle together."""

from collections.abc import Mapping
from typing import Any

from dsr1.env.retired import VARIABLES as RETIRED
from dsr1.launcher.importing.manifest.command import Program, short
from dsr1.launcher.importing.manifest.environment import Setting
from dsr1.launcher.importing.manifest.variables import Taken
from dsr1.launcher.importing.vllm.arguments import Flag, joined, known_flags, parse_flags, repeated
from dsr1.launcher.importing.vllm.configs import unquoted
from dsr1.launcher.importing.vllm.draft import Draft
from dsr1.launcher.importing.vllm.engine_flags import retire, take_flag
from dsr1.launcher.importing.vllm.numbers import parse_count

LOW_LATENCY = ("deepep_low_latency", "nixl_ep")
OLD_CHUNK = 256  # VLLM_MOE_DP_CHUNK_SIZE where nobody set it
_CHUNKS = ("VLLM_MOE_DP_CHUNK_SIZE", "VLLM_FUSED_MOE_CHUNK_SIZE")


def read_flags(draft: Draft, program: Program, taken: Taken) -> list[Flag]:
    """Fill the draft; returns the flags that nobody knows. Raises InputError for values that can't
    be."""
    known = known_flags("worker")
    parsed = parse_flags(program.arguments, known)
    for flag in repeated(parsed.flags):
        draft.ledger.leave(
            f"--{flag.name} {short(flag.text)}: given again later, which counts", *flag.places
        )
    unknown = [flag for flag in joined(parsed.flags) if not take_flag(draft, flag, known)]
    for stray in parsed.strays:
        if not stray.unknown:
            draft.refuse_at(stray.places, f"argument {short(stray.text)} belongs to no flag")
        draft.ledger.ask(
            f"{short(stray.text)}: what it stands for is not in the manifest",
            f"{draft.key}.args",
            *stray.places,
        )
    _settle(draft, taken.retired)
    return unknown


def _settle(draft: Draft, retired: Mapping[str, Setting]) -> None:
    for name, setting in retired.items():
        if name not in _CHUNKS:
            retire(draft, Flag(name, (setting.value or "",), setting.places), RETIRED[name])
    _settle_eplb(draft)
    _settle_dbo(draft)
    chunk = next((retired[name] for name in _CHUNKS if name in retired), None)
    for name in _CHUNKS:
        if name in retired and retired[name] is not chunk:
            draft.ledger.leave(f"{name} is gone, and {_CHUNKS[0]} says it", *retired[name].places)
    if (
        draft.values.get("all2all_backend") in LOW_LATENCY
        and draft.sizes.get("data-parallel-size", 1) > 1
    ):
        _settle_tokens(draft, chunk)
    elif chunk:
        text = (
            f"{chunk.name} bounded the batches of low-latency kernels, which this engine does"
            " not use"
        )
        draft.ledger.leave(text, *chunk.places)


def _settle_eplb(draft: Draft) -> None:
    if not draft.eplb:
        return
    settings: dict[str, Any] = {key: value for key, value, _ in unquoted(draft.eplb) if key}
    if "" in draft.eplb or "num_redundant_experts" in settings:
        draft.values["eplb"] = settings
    else:
        draft.ledger.leave("--eplb-config: without --enable-eplb vLLM does not read it")


def _settle_dbo(draft: Draft) -> None:
    settings = {key: value for key, value, _ in unquoted(draft.dbo) if key}
    if "" in draft.dbo:
        draft.values["dbo"] = settings
    elif settings:
        draft.ledger.leave("--dbo-*-token-threshold: without --enable-dbo vLLM does not read it")


def _settle_tokens(draft: Draft, chunk: Setting | None) -> None:
    """What bounded a low-latency batch was a chunk; today it is max_num_batched_tokens, which
    bounds sequences too."""
    given = draft.values.get("max_num_batched_tokens")
    size = parse_count(chunk.value or "") if chunk else None
    tokens = min(filter(None, (size, given)), default=OLD_CHUNK)
    if chunk:
        text = (
            f"{chunk.name}={chunk.value} is gone; max_num_batched_tokens bounds the batch of a rank"
            " today"
        )
        text += (
            f" (the manifest's {given} would make DeepEP's buffer that large)"
            if given and given > tokens
            else ""
        )
        draft.rewrite("max_num_batched_tokens", tokens, text, *chunk.places)
    elif given is None:
        draft.values["max_num_batched_tokens"] = tokens
        text = (
            f"max_num_batched_tokens: {tokens}, what bounded a batch when nobody set {_CHUNKS[0]}"
        )
        draft.ledger.rewrite(text, f"{draft.key}.max_num_batched_tokens")
    sequences = draft.values.get("max_num_seqs")
    if sequences and sequences > tokens and (chunk or given is None):
        text = (
            f"--max-num-seqs {sequences}: vLLM wants at most max_num_batched_tokens today, which is"
            f" {tokens}"
        )
        draft.rewrite("max_num_seqs", tokens, text, *draft.places["max_num_seqs"])
