"""What a recipe changes of another, as a recipe that extends it: YAML with a comment behind every
value. Pure."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dsr1.launcher.recipe.layers import Keys, Layer, without_keys
from dsr1.launcher.recipe.load import Resolved, built_in_recipes
from dsr1.launcher.recipe.render import sourced_lines, yaml_line
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

    def tell(keys: Keys, _: object) -> str:
        return escape_line(whys.get(".".join(keys), ""))

    lines += sourced_lines(first, tell, column=_COLUMN)
    lines.append(f"extends: {yaml_line(extends)}")
    return "\n".join([*lines, *sourced_lines(rest, tell, column=_COLUMN)]) + "\n"
