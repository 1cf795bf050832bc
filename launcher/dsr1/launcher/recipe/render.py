"""A resolved recipe as YAML that reads back as the same recipe, every value with where it came
from. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from dsr1.launcher.recipe.layers import Keys
from dsr1.launcher.recipe.load import Resolved

DEFAULT = "default"
_COLUMN = 60


def render_resolved(resolved: Resolved) -> str:
    return "\n".join(_lines(_values(resolved), (), resolved.tree.locations))


def resolved_values(resolved: Resolved) -> dict[str, Any]:
    """For JSON: the recipe, and where each value came from, by dotted keys."""
    values = _values(resolved)
    sources = {
        ".".join(keys): resolved.tree.locations.get(keys, DEFAULT) for keys in _leaves(values, ())
    }
    return {"recipe": values, "sources": sources}


def _values(resolved: Resolved) -> dict[str, Any]:
    """What nobody set and is empty by default isn't shown: the absence of a key says the same."""
    shown: dict[str, Any] = _shown(
        resolved.recipe.model_dump(mode="json"), (), resolved.tree.locations
    )
    return shown


def _shown(value: Any, at: Keys, locations: Mapping[Keys, str]) -> Any:
    if not isinstance(value, dict):
        return value
    below = {key: (inner, (*at, str(key))) for key, inner in value.items()}
    return {
        key: _shown(inner, keys, locations)
        for key, (inner, keys) in below.items()
        if keys in locations or (inner is not None and inner not in ({}, []))
    }


def _leaves(value: Any, at: Keys) -> Iterator[Keys]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*at, str(key)))
    else:
        yield at


def _lines(values: Mapping[str, Any], at: Keys, locations: Mapping[Keys, str]) -> Iterator[str]:
    indent = "  " * len(at)
    for key, value in values.items():
        keys = (*at, str(key))
        if isinstance(value, dict) and value:
            yield f"{indent}{_flow(key)}:"
            yield from _lines(value, keys, locations)
        else:
            yield (
                f"{indent}{_flow(key)}: {_flow(value)}".ljust(_COLUMN)
                + f"  # {_location(locations, keys)}"
            )


def _location(locations: Mapping[Keys, str], keys: Keys) -> str:
    """On one line: a --set may have several."""
    return " ".join(locations.get(keys, DEFAULT).split())


def _flow(value: object) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
