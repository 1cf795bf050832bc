"""One worker service to a draft of one engine: its program's flags, its variables, and what the two
settle together."""

from collections.abc import Mapping
from typing import Any

from dsr1.env.retired import FLAGS, VARIABLES
from dsr1.launcher.importing.manifest.environment import ContainerVariable
from dsr1.launcher.importing.manifest.left_out import FLAGS as LEFT_OUT
from dsr1.launcher.importing.manifest.program import Program
from dsr1.launcher.importing.manifest.variables import SortedVariables
from dsr1.launcher.importing.shell.secrecy import quoted
from dsr1.launcher.importing.vllm.arguments import (
    Flag,
    KnownFlags,
    joined,
    known_flags,
    note_repeated,
    parse_flags,
)
from dsr1.launcher.importing.vllm.configs import unquoted
from dsr1.launcher.importing.vllm.draft import EngineDraft
from dsr1.launcher.importing.vllm.flag_handlers import HANDLERS, put_argument
from dsr1.launcher.importing.vllm.numbers import parse_count
from dsr1.launcher.importing.vllm.retired_flags import retire
from dsr1.launcher.recipe.engine import LOW_LATENCY

OLD_CHUNK = 256  # VLLM_MOE_DP_CHUNK_SIZE where nobody set it
_PLACING = (
    "tensor-parallel-size",
    "data-parallel-size",
    "data-parallel-size-local",
    "pipeline-parallel-size",
)
_CHUNKS = ("VLLM_MOE_DP_CHUNK_SIZE", "VLLM_FUSED_MOE_CHUNK_SIZE")


def read_flags(draft: EngineDraft, program: Program, variables: SortedVariables) -> list[Flag]:
    """Fill the draft; returns the flags that nobody knows. Raises InputError for values that can't
    be."""
    known = known_flags("worker")
    parsed = parse_flags(program.arguments, known)
    note_repeated(parsed.flags, draft.ledger)
    unknown = [flag for flag in joined(parsed.flags) if not take_flag(draft, flag, known)]
    for stray in parsed.strays:
        if not stray.unknown:
            draft.refuse_at(stray.places, f"argument {quoted(stray.text)} belongs to no flag")
        text = f"{quoted(stray.text)}: what it stands for is not in the manifest"
        draft.ledger.ask(text, f"{draft.key}.args", *stray.places)
    _settle(draft, variables.retired)
    return unknown


def _settle(draft: EngineDraft, retired: Mapping[str, ContainerVariable]) -> None:
    for name, variable in retired.items():
        if name not in _CHUNKS:
            retire(draft, Flag(name, (variable.value or "",), variable.places), VARIABLES[name])
    _settle_eplb(draft)
    _settle_dbo(draft)
    chunks = [retired[name] for name in _CHUNKS if name in retired]
    chunk = chunks[0] if chunks else None
    for other in chunks[1:]:
        text = f"{other.name} is gone, and {_CHUNKS[0]} is set already"
        draft.ledger.leave(text, *other.places)
    is_parallel = draft.sizes.get("data-parallel-size", 1) > 1
    if is_parallel and draft.values.get("all2all_backend") in LOW_LATENCY:
        _settle_tokens(draft, chunk)
    elif chunk:
        text = "bounded the batches of low-latency kernels, which this engine does not use"
        draft.ledger.leave(f"{chunk.name} {text}", *chunk.places)


def _settle_eplb(draft: EngineDraft) -> None:
    if not draft.eplb:
        return
    settings: dict[str, Any] = {key: value for key, value, _ in unquoted(draft.eplb) if key}
    if "" in draft.eplb or "num_redundant_experts" in settings:
        draft.values["eplb"] = settings
    else:
        draft.ledger.leave("--eplb-config: without --enable-eplb vLLM does not read it")


def _settle_dbo(draft: EngineDraft) -> None:
    settings = {key: value for key, value, _ in unquoted(draft.dbo) if key}
    if "" in draft.dbo:
        draft.values["dbo"] = settings
    elif settings:
        draft.ledger.leave("--dbo-*-token-threshold: without --enable-dbo vLLM does not read it")


def _settle_tokens(draft: EngineDraft, chunk: ContainerVariable | None) -> None:
    """What bounded a low-latency batch was a chunk; today it is max_num_batched_tokens, which
    bounds sequences too."""
    key, given = "max_num_batched_tokens", draft.values.get("max_num_batched_tokens")
    size = parse_count(chunk.value or "") if chunk else None
    tokens = min(filter(None, (size, given)), default=OLD_CHUNK)
    if chunk:
        text = f"{chunk.name}={chunk.value} is gone; {key} bounds the batch of a rank today"
        if given and given > tokens:
            text += f" (the manifest's {given} would make DeepEP's buffer that large)"
        draft.rewrite(key, tokens, text, *chunk.places)
    elif given is None:
        draft.values[key] = tokens
        text = f"{key}: {tokens}, the default bound of a batch when {_CHUNKS[0]} existed"
        draft.ledger.rewrite(text, f"{draft.key}.{key}")
    if chunk or given is None:
        _bound_sequences(draft, tokens)


def _bound_sequences(draft: EngineDraft, tokens: int) -> None:
    sequences = draft.values.get("max_num_seqs")
    if sequences and sequences > tokens:
        text = f"vLLM wants at most max_num_batched_tokens today, which is {tokens}"
        places = draft.places["max_num_seqs"]
        draft.rewrite("max_num_seqs", tokens, f"--max-num-seqs {sequences}: {text}", *places)


def take_flag(draft: EngineDraft, flag: Flag, known: KnownFlags) -> bool:
    """False for a flag that nobody knows. Raises InputError that names the place of a value that
    can't be."""
    if flag.name in ("model", "served-model-name"):
        _take_name(draft, flag)
    elif flag.unknown and flag.name in _PLACING:
        draft.refuse(
            flag,
            f"what {', '.join(flag.unknown)} stands for is not in the manifest; write the number",
        )
    elif flag.unknown:
        text = f"--{flag.name} {quoted(flag.text)}: what it stands for is not in the manifest"
        draft.ledger.ask(text, draft.key, *flag.places)
    elif flag.name in LEFT_OUT:
        draft.ledger.leave(f"--{flag.name}: {LEFT_OUT[flag.name]}", *flag.places)
    elif flag.name in FLAGS:
        retire(draft, flag, FLAGS[flag.name])
    elif flag.name in known.kinds:
        HANDLERS.get(flag.name, put_argument)(draft, flag)
    else:
        return False
    return True


def _take_name(draft: EngineDraft, flag: Flag) -> None:
    if not flag.values:
        draft.refuse(flag, "needs a value")
    if flag.name == "model":
        draft.model = flag
    else:
        draft.served = flag
