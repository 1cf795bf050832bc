"""A recipe as YAML that reads back as the same recipe, every value with where it came from.
Pure."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

from dsr1.launcher.recipe.layers import Keys
from dsr1.launcher.recipe.load import Resolved

DEFAULT = "default"
_COLUMN = 60


def render_resolved(resolved: Resolved) -> str:
    locations = resolved.tree.locations
    return "\n".join(sourced_lines(_values(resolved), lambda keys, _: _location(locations, keys)))


def sources_of(resolved: Resolved) -> dict[str, tuple[object, str]]:
    """Of each value that somebody gave, by dotted keys: itself, and by whom. A `--set` may hold a
    secret, and is called so alone."""
    locations = resolved.tree.locations
    values = resolved.recipe.model_dump(mode="json")
    found = {keys: locations[keys] for keys in _leaves(values, ()) if keys in locations}
    return {
        ".".join(keys): (_at(values, keys), "--set" if at.startswith("--set ") else at)
        for keys, at in found.items()
    }


def _at(values: Any, keys: Keys) -> object:
    for key in keys:
        values = values[key]
    return values


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


Tell = Callable[[Keys, object], str]
"""Where a value came from, by its keys and itself."""


def sourced_lines(
    values: Mapping[str, Any], tell: Tell, at: Keys = (), column: int = _COLUMN
) -> Iterator[str]:
    """Each value with what is told of it as a comment from that column on; nothing: without."""
    indent = "  " * len(at)
    for key, value in values.items():
        keys = (*at, str(key))
        if isinstance(value, Mapping) and value:
            yield f"{indent}{yaml_line(key)}:"
            yield from sourced_lines(value, tell, keys, column)
        else:
            line, told = f"{indent}{yaml_line(key)}: {yaml_line(value)}", tell(keys, value)
            yield f"{line.ljust(column)}  # {told}" if told else line


def _location(locations: Mapping[Keys, str], keys: Keys) -> str:
    """On one line: a --set may have several."""
    return " ".join(locations.get(keys, DEFAULT).split())


def yaml_line(value: object) -> str:
    """On one line that can be printed, whatever it holds; quoted where YAML wants it."""
    text = _dumped(value, allow_unicode=True)
    return text if text.isprintable() else _dumped(value, allow_unicode=False)


def _dumped(value: object, allow_unicode: bool) -> str:
    text: str = yaml.dump(
        value,
        Dumper=_OneLine,
        default_flow_style=True,
        width=2**31,
        sort_keys=False,
        allow_unicode=allow_unicode,
    )
    return text.removesuffix("\n").removesuffix("\n...")


class _OneLine(yaml.SafeDumper):
    """Texts of several lines in double quotes: the only form that keeps every character on one."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_OneLine.add_representer(str, _represent_text)
