"""Flags and variables that are gone, to the keys of a recipe's engine that took their place."""

from typing import Any

from dsr1.env.retired import Retired
from dsr1.launcher.importing.vllm.arguments import Flag, exact_value
from dsr1.launcher.importing.vllm.draft import EngineDraft
from dsr1.launcher.recipe.engine import CONNECTORS


def retire(draft: EngineDraft, flag: Flag, successor: Retired) -> None:
    """An old spelling, of a flag or a variable, to the key that took its place, unless that is
    given."""
    written = f"{flag.name}={flag.text}" if flag.name.isupper() else f"--{flag.name}"
    if not successor.key:
        _note_gone(draft, flag, f"{written} is gone.", successor)
        return
    section, _, inner = successor.key.partition(".")
    holders = {"args": draft.args, "eplb": draft.eplb, "dbo": draft.dbo}
    if (inner or section) in holders.get(section, draft.values):
        draft.ledger.leave(f"{written} is gone, and {successor.key} is set already", *flag.places)
        return
    text, key = f"{written} is gone; today: {successor.advice}", f"{draft.key}.{successor.key}"
    draft.ledger.rewrite(text, key, *flag.places)
    _set(draft, flag, successor.key, flag.text if successor.value is None else successor.value)


def _note_gone(draft: EngineDraft, flag: Flag, text: str, successor: Retired) -> None:
    if successor.is_needless:
        draft.ledger.leave(f"{text} {successor.advice}", *flag.places)
    else:
        draft.ledger.ask(f"{text} Today: {successor.advice}", draft.key, *flag.places)


def _set(draft: EngineDraft, flag: Flag, key: str, value: str) -> None:
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


def _today(draft: EngineDraft, flag: Flag, key: str, value: str) -> Any:
    if key == "kv_events":
        return True
    return _connector(draft, flag, value) if key == "kv_transfer" else value


def _connector(draft: EngineDraft, flag: Flag, value: str) -> str | None:
    """Of several the one that is not NIXL, which that one uses."""
    words = [word for word in value.split() if word not in ("none", "null")]
    for word in words:
        if word not in CONNECTORS:
            draft.refuse(flag, f"must be one of {', '.join(CONNECTORS)}")
    others = [word for word in words if word != "nixl"]
    return next(iter(others or words), None)
