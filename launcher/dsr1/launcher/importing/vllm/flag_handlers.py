"""What single flags of a worker become: one function for each kind of value."""

from collections.abc import Callable, Mapping
from typing import Any

from dsr1.env.retired import VALUES as RETIRED_VALUES
from dsr1.launcher.importing.shell.secrecy import quoted
from dsr1.launcher.importing.vllm.arguments import Flag, exact_value, parsed_json
from dsr1.launcher.importing.vllm.configs import modern_attention, modernised, unquoted
from dsr1.launcher.importing.vllm.draft import EngineDraft
from dsr1.launcher.importing.vllm.numbers import parse_count, parse_number, parse_switch
from dsr1.launcher.recipe.engine import Eplb
from dsr1.launcher.recipe.flag_table import BY_NAME, RECIPE_FLAGS

_COUNT_WANTED = "must be a whole number above 0"


def _count(draft: EngineDraft, flag: Flag) -> None:
    count = parse_count(flag.text)
    if count is None and flag.name == "max-model-len" and flag.text in ("auto", "-1"):
        text = f"--max-model-len {flag.text}: vLLM takes what fits; max_model_len must be a number"
        draft.ledger.ask(text, f"{draft.key}.max_model_len", *flag.places)
    elif count is None:
        draft.refuse(flag, _COUNT_WANTED)
    else:
        draft.put(BY_NAME[flag.name].key, count, *flag.places)


def _number(draft: EngineDraft, flag: Flag) -> None:
    number = parse_number(flag.text)
    if number is None or not 0 < number <= 1:
        draft.refuse(flag, "must be a fraction, such as 0.9")
    draft.put(BY_NAME[flag.name].key, number, *flag.places)


def _is_on(draft: EngineDraft, flag: Flag) -> bool:
    value = parse_switch(flag.text)
    if value is None:
        draft.refuse(flag, "a switch takes no value")
    return value and not flag.off


def _switch(draft: EngineDraft, flag: Flag) -> None:
    draft.put(BY_NAME[flag.name].key, _is_on(draft, flag), *flag.places)


def _all2all(draft: EngineDraft, flag: Flag) -> None:
    retired = RETIRED_VALUES.get((flag.name, flag.text))
    today = retired.value or "allgather_reducescatter" if retired else flag.text
    if retired:
        text = f"--all2all-backend {flag.text}: {retired.advice}"
        draft.rewrite("all2all_backend", today, text, *flag.places)
    else:
        draft.put("all2all_backend", _text(draft, flag), *flag.places)


def _text(draft: EngineDraft, flag: Flag) -> str:
    if len(flag.values) != 1:
        draft.refuse(flag, "must have one value")
    return flag.text


def _layout(draft: EngineDraft, flag: Flag) -> None:
    layout = BY_NAME[flag.name].choice
    if layout == "per_gpu" or (parse_switch(flag.text) and not flag.off):
        draft.put("layout", layout, *flag.places)
    else:
        draft.ledger.leave(f"--{flag.name} is off, as it is without the flag", *flag.places)


def _size(draft: EngineDraft, flag: Flag) -> None:
    size = parse_count(flag.text)
    if size is None:
        draft.refuse(flag, _COUNT_WANTED)
    if flag.name == "pipeline-parallel-size" and size > 1:
        draft.refuse(flag, "dsr1 has no pipeline parallelism; use data parallelism over hosts")
    draft.sizes[flag.name] = size
    draft.ledger.use(f"{draft.key}.ranks_per_node", *flag.places)


def _role(draft: EngineDraft, flag: Flag) -> None:
    roles = {
        "prefill": "prefill",
        "decode": "decode",
        "agg": "aggregated",
        "aggregated": "aggregated",
    }
    if flag.text not in roles:
        draft.refuse(flag, f"must be one of {', '.join(roles)}")
    draft.role = roles[flag.text]
    draft.ledger.use(f"{draft.key}.role", *flag.places)


def _eplb(draft: EngineDraft, flag: Flag) -> None:
    if _is_on(draft, flag):
        draft.eplb.setdefault("", True)
    draft.ledger.use(f"{draft.key}.eplb", *flag.places)


def _eplb_config(draft: EngineDraft, flag: Flag) -> None:
    key, changed = f"{draft.key}.eplb", []
    for name, value, is_changed in unquoted(_mapping(draft, flag)):
        if name not in Eplb.model_fields:
            text = f"--eplb-config: a recipe's eplb has no {quoted(name)}"
            draft.ledger.ask(text, key, *flag.places)
            continue
        draft.eplb[name] = value
        if is_changed:
            changed.append(name)
    if changed:
        text = (
            f"--eplb-config: {', '.join(changed)} without quotes: vLLM wants numbers and switches"
        )
        draft.ledger.rewrite(text, key, *flag.places)
    draft.ledger.use(key, *flag.places)


def _dbo(draft: EngineDraft, flag: Flag) -> None:
    if _is_on(draft, flag):
        draft.dbo[""] = True
    draft.ledger.use(f"{draft.key}.dbo", *flag.places)


def _dbo_threshold(draft: EngineDraft, flag: Flag) -> None:
    name = flag.name.removeprefix("dbo-").replace("-", "_")
    draft.dbo[name] = parse_count(flag.text) or draft.refuse(flag, _COUNT_WANTED)
    draft.ledger.use(f"{draft.key}.dbo", *flag.places)


def _mapping(draft: EngineDraft, flag: Flag) -> dict[str, Any]:
    value = parsed_json(flag.text, None)
    return (
        value if isinstance(value, dict) else draft.refuse(flag, "must be JSON of the form {...}")
    )


def _kv_transfer(draft: EngineDraft, flag: Flag) -> None:
    draft.put("kv_transfer", _mapping(draft, flag), *flag.places)


def _kv_events(draft: EngineDraft, flag: Flag) -> None:
    config = _mapping(draft, flag)
    is_zmq = config.get("publisher", "zmq") == "zmq"
    is_on = is_zmq and config.get("enable_kv_cache_events") is not False
    text = "--kv-events-config: dsr1 chooses its ports and topics itself"
    draft.rewrite("kv_events", is_on, text, *flag.places)


def _compilation(draft: EngineDraft, flag: Flag) -> None:
    config, changes = modernised(_mapping(draft, flag))
    if changes:
        text = f"--compilation-config: {'; '.join(changes)}"
        draft.rewrite("compilation_config", config, text, *flag.places)
    else:
        draft.put("compilation_config", config, *flag.places)


def _attention(draft: EngineDraft, flag: Flag) -> None:
    config, changes = modern_attention(_mapping(draft, flag))
    draft.args[flag.name] = config
    key = f"{draft.key}.args.{flag.name}"
    if changes:
        draft.ledger.rewrite(f"--{flag.name}: {'; '.join(changes)}", key, *flag.places)
    else:
        draft.ledger.use(key, *flag.places)


def _word(draft: EngineDraft, flag: Flag) -> None:
    draft.put(BY_NAME[flag.name].key, _text(draft, flag), *flag.places)


def put_argument(draft: EngineDraft, flag: Flag) -> None:
    draft.args[flag.name] = argument_value(flag)
    draft.ledger.use(f"{draft.key}.args.{flag.name}", *flag.places)


def argument_value(flag: Flag) -> Any:
    """As the recipe's `args` writes it: true for the bare flag, false for its --no- form, a list
    for several values."""
    if not flag.values:
        return not flag.off
    values = [exact_value(value) for value in flag.values]
    return values[0] if len(values) == 1 else values


_BY_KIND: Mapping[str, Callable[[EngineDraft, Flag], None]] = {
    "count": _count,
    "fraction": _number,
    "switch": _switch,
    "text": _word,
    "rank count": _size,
    "layout": _layout,
}
HANDLERS: Mapping[str, Callable[[EngineDraft, Flag], None]] = {
    **{row.name: _BY_KIND[row.kind] for row in RECIPE_FLAGS if row.kind in _BY_KIND},
    "enable-eplb": _eplb,
    "eplb-config": _eplb_config,
    "enable-dbo": _dbo,
    "dbo-decode-token-threshold": _dbo_threshold,
    "dbo-prefill-token-threshold": _dbo_threshold,
    "all2all-backend": _all2all,
    "attention-config": _attention,
    "compilation-config": _compilation,
    "disaggregation-mode": _role,
    "kv-events-config": _kv_events,
    "kv-transfer-config": _kv_transfer,
    "pipeline-parallel-size": _size,
}
