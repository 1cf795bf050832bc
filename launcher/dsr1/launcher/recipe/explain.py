"""What is wrong with a recipe's values, in words: where each was written, what it is and what is
allowed. Pure.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from dsr1.hosts.yaml_text import problem_of
from dsr1.launcher.recipe.layers import Layer, location_of
from dsr1.launcher.recipe.models import Recipe

_LONGEST_SEEN = 200
_MAIN_KEYS = {"model": "path", "runtime": "venv", "ports": "base", "frontend": "port"}
LAYER_KEYS = ("extends", "profile", "profiles")
"""Of a recipe's file beside the recipe's own keys."""


def explain_errors(
    error: ValidationError, tree: Layer, whole: type[BaseModel] = Recipe
) -> Iterator[str]:
    """`whole` is what the tree was to be."""
    found: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for item in error.errors(include_url=False):
        keys = tuple(str(key) for key in item["loc"] if not _is_branch(str(key)))
        found.setdefault(keys, []).append(item)
    for keys, items in found.items():
        message = ": ".join(filter(None, (".".join(keys), _reasons(items, keys, whole))))
        yield f"{location_of(tree, keys or _first_key(message))}: {message}"


def _reasons(
    items: Sequence[Mapping[str, Any]], keys: tuple[str, ...], whole: type[BaseModel]
) -> str:
    """Of one value; several where it may be of several kinds."""
    first, *others = dict.fromkeys(_reason(item, keys, whole) for item in items)
    reasons = " or ".join((first, *(other.removeprefix("must be ") for other in others)))
    shown = items[0]["type"] not in ("extra_forbidden", "missing") and not isinstance(
        items[0]["input"], dict | list
    )
    seen = repr(items[0]["input"])
    return f"{reasons} (seen: {seen[:_LONGEST_SEEN]})" if shown else reasons


def _first_key(message: str) -> tuple[str, ...]:
    """What several keys get wrong together begins with the one to change."""
    return tuple(message.partition(": ")[0].split("."))


def _is_branch(key: str) -> bool:
    """Pydantic adds the name of a union's branch to a location; it isn't a key of the file."""
    return "[" in key or key in (
        "int",
        "str",
        "float",
        "bool",
        "constrained-int",
        "constrained-str",
    )


def _reason(item: Mapping[str, Any], keys: tuple[str, ...], whole: type[BaseModel]) -> str:
    if item["type"] == "extra_forbidden":
        allowed = _allowed_keys(keys[:-1], whole)
        near = suggestion(str(item["loc"][-1]), allowed)
        return f"unknown key{near}; allowed are {', '.join(allowed)}"
    if item["type"] == "missing":
        return "is missing"
    if item["type"] == "model_type" and len(keys) == 1 and keys[0] in _MAIN_KEYS:
        key, main, value = keys[0], _MAIN_KEYS[keys[0]], item["input"]
        return f"has keys of its own: write {key}: {{{main}: {value}}}"
    return problem_of(item)


def _allowed_keys(keys: tuple[str, ...], whole: type[BaseModel]) -> list[str]:
    model = whole
    for key in keys:
        field = model.model_fields.get(key)
        model = next(models_in(field.annotation), model) if field else model
    return [*model.model_fields, *(LAYER_KEYS if model is Recipe else ())]


def models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """The parts that a key's value may be: `dict[Name, Engine]` and `Eplb | None` hold one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models_in(inner)


def suggestion(key: str, known: Sequence[str] | Mapping[str, object]) -> str:
    """In words, the known key that is nearest to one that isn't."""
    near = get_close_matches(key, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""
