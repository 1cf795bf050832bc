"""A worker's flags, each to the key of a recipe's engine that says it today; what has none goes to
`args`."""

from collections.abc import Callable, Mapping
from typing import Any

from dsr1.env.retired import FLAGS as RETIRED
from dsr1.env.retired import VALUES as RETIRED_VALUES
from dsr1.env.retired import Retired
from dsr1.launcher.importing.manifest.command import short
from dsr1.launcher.importing.manifest.left_out import FLAGS as LEFT_OUT
from dsr1.launcher.importing.vllm.arguments import Flag, Known, exact_value, parsed_json
from dsr1.launcher.importing.vllm.configs import modern_attention, modernised, unquoted
from dsr1.launcher.importing.vllm.draft import Draft
from dsr1.launcher.importing.vllm.numbers import parse_count, parse_number, parse_switch
from dsr1.launcher.recipe.engine import CONNECTORS, Eplb
from dsr1.launcher.recipe.flag_table import BY_NAME, RECIPE_FLAGS

_PLACING = (
    "tensor-parallel-size",
    "data-parallel-size",
    "data-parallel-size-local",
    "pipeline-parallel-size",
)


def take_flag(draft: Draft, flag: Flag, known: Known) -> bool:
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
        text = f"--{flag.name} {short(flag.text)}: what it stands for is not in the manifest"
        draft.ledger.ask(text, draft.key, *flag.places)
    elif flag.name in LEFT_OUT:
        draft.ledger.leave(f"--{flag.name}: {LEFT_OUT[flag.name]}", *flag.places)
    elif flag.name in RETIRED:
        retire(draft, flag, RETIRED[flag.name])
    elif flag.name in known.kinds:
        HANDLERS.get(flag.name, _argument)(draft, flag)
    else:
        return False
    return True


def retire(draft: Draft, flag: Flag, successor: Retired) -> None:
    """An old spelling, of a flag or a variable, to the key that took its place, unless that is
    given."""
    written = f"{flag.name}={flag.text}" if flag.name.isupper() else f"--{flag.name}"
    section, _, inner = successor.key.partition(".")
    if not successor.key:
        text = f"{written} is gone. {'' if successor.is_needless else 'Today: '}{successor.advice}"
        if successor.is_needless:
            draft.ledger.leave(text, *flag.places)
        else:
            draft.ledger.ask(text, draft.key, *flag.places)
        return
    value = flag.text if successor.value is None else successor.value
    holder = {"args": draft.args, "eplb": draft.eplb, "dbo": draft.dbo}.get(section, draft.values)
    name = inner or section
    if name in holder:
        draft.ledger.leave(f"{written} is gone, and {successor.key} says it already", *flag.places)
        return
    draft.ledger.rewrite(
        f"{written} is gone; today: {successor.advice}",
        f"{draft.key}.{successor.key}",
        *flag.places,
    )
    _set(draft, flag, successor.key, value)


def _set(draft: Draft, flag: Flag, key: str, value: str) -> None:
    section, _, inner = key.partition(".")
    if section == "role":
        draft.role = value
    elif section == "args":
        draft.args[inner] = exact_value(value)
    elif section == "eplb":
        draft.eplb[inner] = value
    elif section == "dbo":
        draft.dbo.update({inner: value} if inner else {})
        draft.dbo.setdefault("", True)
    else:
        draft.values[key] = _today(draft, flag, key, value)
        draft.places[key] = flag.places


def _today(draft: Draft, flag: Flag, key: str, value: str) -> Any:
    if key == "kv_events":
        return True
    if key == "kv_transfer":
        words = [word for word in value.split() if word not in ("none", "null")]
        wrong = [word for word in words if word not in CONNECTORS]
        if wrong:
            draft.refuse(flag, f"dsr1 knows {', '.join(CONNECTORS)}")
        return next((word for word in words if word != "nixl"), words[0] if words else None)
    return value


def _take_name(draft: Draft, flag: Flag) -> None:
    if not flag.values:
        draft.refuse(flag, "a value is missing")
    if flag.name == "model":
        draft.model = flag
    else:
        draft.served = flag


def _count(draft: Draft, flag: Flag) -> None:
    count = parse_count(flag.text)
    if count is None and flag.name == "max-model-len" and flag.text in ("auto", "-1"):
        draft.ledger.ask(
            f"--max-model-len {flag.text}: vLLM takes what fits; a recipe's max_model_len is a"
            " number",
            f"{draft.key}.max_model_len",
            *flag.places,
        )
    elif count is None:
        draft.refuse(flag, "a whole number above 0 is wanted")
    else:
        draft.put(BY_NAME[flag.name].key, count, *flag.places)


def _number(draft: Draft, flag: Flag) -> None:
    number = parse_number(flag.text)
    if number is None or not 0 < number <= 1:
        draft.refuse(flag, "a part of 1 is wanted, as 0.9")
    draft.put(BY_NAME[flag.name].key, number, *flag.places)


def _is_on(draft: Draft, flag: Flag) -> bool:
    value = parse_switch(flag.text)
    if value is None:
        draft.refuse(flag, "it is a switch and takes no value")
    return value and not flag.off


def _switch(draft: Draft, flag: Flag) -> None:
    draft.put(BY_NAME[flag.name].key, _is_on(draft, flag), *flag.places)


def _all2all(draft: Draft, flag: Flag) -> None:
    retired = RETIRED_VALUES.get((flag.name, flag.text))
    today = retired.value or "allgather_reducescatter" if retired else flag.text
    if retired:
        text = f"--all2all-backend {flag.text}: {retired.advice}"
        draft.rewrite("all2all_backend", today, text, *flag.places)
    else:
        draft.put("all2all_backend", _text(draft, flag), *flag.places)


def _text(draft: Draft, flag: Flag) -> str:
    if len(flag.values) != 1:
        draft.refuse(flag, "one value is wanted")
    return flag.text


def _layout(draft: Draft, flag: Flag) -> None:
    layout = BY_NAME[flag.name].choice
    if layout == "per_gpu" or (parse_switch(flag.text) and not flag.off):
        draft.put("layout", layout, *flag.places)
    else:
        draft.ledger.leave(f"--{flag.name} is off, as it is without the flag", *flag.places)


def _size(draft: Draft, flag: Flag) -> None:
    size = parse_count(flag.text)
    if size is None:
        draft.refuse(flag, "a whole number above 0 is wanted")
    if flag.name == "pipeline-parallel-size" and size > 1:
        draft.refuse(
            flag, "dsr1 has no pipeline parallelism: it deals ranks to hosts by data parallelism"
        )
    draft.sizes[flag.name] = size
    draft.ledger.use(f"{draft.key}.ranks_per_node", *flag.places)


def _role(draft: Draft, flag: Flag) -> None:
    roles = {
        "prefill": "prefill",
        "decode": "decode",
        "agg": "aggregated",
        "aggregated": "aggregated",
    }
    if flag.text not in roles:
        draft.refuse(flag, f"dsr1 knows {', '.join(roles)}")
    draft.role = roles[flag.text]
    draft.ledger.use(f"{draft.key}.role", *flag.places)


def _eplb(draft: Draft, flag: Flag) -> None:
    if flag.name == "enable-eplb":
        if _is_on(draft, flag):
            draft.eplb.setdefault("", True)
        draft.ledger.use(f"{draft.key}.eplb", *flag.places)
        return
    quoted = []
    for key, value, changed in unquoted(_mapping(draft, flag)):
        if key not in Eplb.model_fields:
            draft.ledger.ask(
                f"--eplb-config: a recipe's eplb has no {short(key)}",
                f"{draft.key}.eplb",
                *flag.places,
            )
            continue
        draft.eplb[key] = value
        quoted += [key] if changed else []
    if quoted:
        text = f"--eplb-config: {', '.join(quoted)} without quotes: vLLM wants numbers and switches"
        draft.ledger.rewrite(text, f"{draft.key}.eplb", *flag.places)
    draft.ledger.use(f"{draft.key}.eplb", *flag.places)


def _dbo(draft: Draft, flag: Flag) -> None:
    if flag.name == "enable-dbo":
        if _is_on(draft, flag):
            draft.dbo[""] = True
    else:
        name = flag.name.removeprefix("dbo-").replace("-", "_")
        draft.dbo[name] = parse_count(flag.text) or draft.refuse(
            flag, "a whole number above 0 is wanted"
        )
    draft.ledger.use(f"{draft.key}.dbo", *flag.places)


def _mapping(draft: Draft, flag: Flag) -> dict[str, Any]:
    value = parsed_json(flag.text, None)
    return (
        value if isinstance(value, dict) else draft.refuse(flag, "JSON of the form {...} is wanted")
    )


def _kv_transfer(draft: Draft, flag: Flag) -> None:
    draft.put("kv_transfer", _mapping(draft, flag), *flag.places)


def _kv_events(draft: Draft, flag: Flag) -> None:
    config = _mapping(draft, flag)
    on = (
        config.get("enable_kv_cache_events") is not False
        and config.get("publisher", "zmq") == "zmq"
    )
    draft.rewrite(
        "kv_events",
        on,
        "--kv-events-config: dsr1 chooses its ports and topics itself",
        *flag.places,
    )


def _compilation(draft: Draft, flag: Flag) -> None:
    config, changes = modernised(_mapping(draft, flag))
    if changes:
        text = f"--compilation-config: {'; '.join(changes)}"
        draft.rewrite("compilation_config", config, text, *flag.places)
    else:
        draft.put("compilation_config", config, *flag.places)


def _attention(draft: Draft, flag: Flag) -> None:
    config, changes = modern_attention(_mapping(draft, flag))
    draft.args[flag.name] = config
    key = f"{draft.key}.args.{flag.name}"
    if changes:
        draft.ledger.rewrite(f"--{flag.name}: {'; '.join(changes)}", key, *flag.places)
    else:
        draft.ledger.use(key, *flag.places)


def _word(draft: Draft, flag: Flag) -> None:
    draft.put(BY_NAME[flag.name].key, _text(draft, flag), *flag.places)


def _argument(draft: Draft, flag: Flag) -> None:
    draft.args[flag.name] = argument_value(flag)
    draft.ledger.use(f"{draft.key}.args.{flag.name}", *flag.places)


def argument_value(flag: Flag) -> Any:
    """As the recipe's `args` writes it: true for the bare flag, false for its --no- form, a list
    for several values."""
    if not flag.values:
        return not flag.off
    values = [exact_value(value) for value in flag.values]
    return values[0] if len(values) == 1 else values


_BY_KIND: Mapping[str, Callable[[Draft, Flag], None]] = {
    "count": _count,
    "fraction": _number,
    "switch": _switch,
    "text": _word,
    "rank count": _size,
    "layout": _layout,
}
HANDLERS: Mapping[str, Callable[[Draft, Flag], None]] = {
    **{row.name: _BY_KIND[row.kind] for row in RECIPE_FLAGS if row.kind in _BY_KIND},
    **dict.fromkeys(("enable-eplb", "eplb-config"), _eplb),
    **dict.fromkeys(
        ("enable-dbo", "dbo-decode-token-threshold", "dbo-prefill-token-threshold"), _dbo
    ),
    "all2all-backend": _all2all,
    "attention-config": _attention,
    "compilation-config": _compilation,
    "disaggregation-mode": _role,
    "kv-events-config": _kv_events,
    "kv-transfer-config": _kv_transfer,
    "pipeline-parallel-size": _size,
}
