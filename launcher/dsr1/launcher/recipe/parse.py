"""A recipe's YAML text as a layer: plain values, and the line of every key. Strict where YAML is
lax."""

from pathlib import Path
from typing import Any

import yaml

from dsr1.hosts.errors import InputError
from dsr1.hosts.yaml_text import (
    TEXT,
    WORDS,
    compose_yaml,
    construct_yaml,
    is_yaml,
    read_bounded_text,
)
from dsr1.launcher.recipe.arguments import with_flag_names
from dsr1.launcher.recipe.layers import Keys, Layer, location_of, without_key

SCHEMA_KEY, SCHEMA = "schema", 1


def read_layer(file: Path, source: str) -> Layer:
    """Raises InputError that names the file, and the line of what is not YAML."""
    return parse_layer(read_bounded_text(file, "a recipe"), source)


def parse_layer(
    text: str, source: str, what: str = "a recipe", keys: str = "name, model and engines"
) -> Layer:
    """As read_layer, from text. `keys` are some that it may have, in words."""
    tree = _compose(text, source, what=what)
    values = construct_yaml(tree, source)
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise InputError(f"{source}: {what} is a mapping with keys such as {keys}")
    lines = _lines(tree, ())
    layer = Layer(source, values, {keys: f"{source}:{line}" for keys, line in lines.items()})
    return with_flag_names(_without_schema(layer, what))


def _without_schema(layer: Layer, what: str) -> Layer:
    """InputError: it was written for a newer dsr1."""
    found = layer.values.get(SCHEMA_KEY, SCHEMA)
    where = location_of(layer, (SCHEMA_KEY,))
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise InputError(f"{where}: {SCHEMA_KEY}: is {found!r}; it must be {SCHEMA}")
    if found > SCHEMA:
        raise InputError(
            f"{where}: {SCHEMA_KEY}: {what} of schema {found} is for a newer dsr1; this one knows"
            f" {SCHEMA}: upgrade it"
        )
    return without_key(layer, SCHEMA_KEY)


def parse_value(text: str, keys: Keys, source: str) -> Any:
    """A value of --set for these keys: YAML, or the text itself where that is none."""
    if not is_yaml(text):
        return text
    tree = _compose(text, source, keys)
    return "" if tree is None and _is_environment(keys[:-1]) else construct_yaml(tree, source)


def _compose(text: str, source: str, at: Keys = (), what: str = "a recipe") -> yaml.Node | None:
    """`at` are the keys that it is below. Variables are text, as they are written: 010, 1.10 and
    yes stay that."""
    tree = compose_yaml(text, source, what)
    _keep_text(tree, at)
    return tree


def _keep_text(node: yaml.Node | None, at: Keys) -> None:
    if isinstance(node, yaml.ScalarNode) and _is_environment(at[:-1]) and node.tag in WORDS:
        node.tag = TEXT
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        _keep_text(value, (*at, str(key.value)))


def _is_environment(keys: Keys) -> bool:
    """Whether these are the keys of an `env`; an engine may be called so."""
    return keys[-1:] == ("env",) and keys[-2:-1] != ("engines",)


def _lines(node: yaml.Node | None, at: Keys) -> dict[Keys, int]:
    """The line of every key."""
    found: dict[Keys, int] = {}
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        keys = (*at, str(key.value))
        found |= {keys: key.start_mark.line + 1} | _lines(value, keys)
    return found
