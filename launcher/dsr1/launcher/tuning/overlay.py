"""What a recipe changes of another, as a recipe that extends it: YAML with a comment behind every
value. Pure."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from dsr1.launcher.recipe.layers import Keys, Layer, without_keys
from dsr1.launcher.recipe.load import Resolved, built_in_recipes
from dsr1.launcher.terminal import escape_line

EXPERTS: Keys = ("model", "experts")
_COLUMN = 48


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """What merged over `old` gives `new`: null takes out what was there."""
    changed: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        if isinstance(value, Mapping) and isinstance(old.get(key), Mapping):
            if inner := difference(old[key], value):
                changed[key] = inner
        elif key not in old or old[key] != value:
            changed[key] = value
    return changed


def written_difference(old: Resolved, new: Resolved) -> dict[str, Any]:
    """Of what is written in recipes: what was read from a model's files is read again."""
    return difference(_written(old.tree), _written(new.tree))


def _written(tree: Layer) -> Mapping[str, Any]:
    is_read = tree.locations.get(EXPERTS, "").endswith("config.json")
    return (without_keys(tree, EXPERTS) if is_read else tree).values


def extended_name(recipe: str, output: Path | None) -> str:
    """How the new file names the one it extends: a built-in's name, or the way from its folder."""
    if recipe in built_in_recipes():
        return recipe
    beside = output.absolute().parent if output else Path.cwd()
    return os.path.relpath(Path(recipe).absolute(), beside)


def render_overlay(
    extends: str,
    changed: Mapping[str, Any],
    whys: Mapping[str, str],
    head: Sequence[str] = (),
) -> str:
    """`whys` are by dotted keys; `head` are lines of comment on top."""
    lines = [f"# {escape_line(line)}".rstrip() for line in head]
    first = {key: changed[key] for key in ("name",) if key in changed}
    rest = {key: value for key, value in changed.items() if key not in first}
    lines += _mapping(first, (), whys)
    lines.append(f"extends: {_flow(extends)}")
    return "\n".join([*lines, *_mapping(rest, (), whys)]) + "\n"


def _mapping(values: Mapping[str, Any], at: Keys, whys: Mapping[str, str]) -> Iterator[str]:
    indent = "  " * len(at)
    for key, value in values.items():
        keys = (*at, str(key))
        if isinstance(value, Mapping) and value:
            yield f"{indent}{_flow(key)}:"
            yield from _mapping(value, keys, whys)
        else:
            yield _with_why(f"{indent}{_flow(key)}: {_flow(value)}", whys.get(".".join(keys), ""))


def _with_why(line: str, why: str) -> str:
    return f"{line.ljust(_COLUMN)}  # {escape_line(why)}" if why else line


def _flow(value: object) -> str:
    """On one line, whatever it is: a text of several in double quotes."""
    style = '"' if isinstance(value, str) and not value.isprintable() else None
    text = yaml.safe_dump(
        value, default_flow_style=True, default_style=style, width=10**6, allow_unicode=True
    )
    return text.removesuffix("\n").removesuffix("\n...")
