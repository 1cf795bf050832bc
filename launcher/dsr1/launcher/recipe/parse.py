"""A recipe's YAML text as a layer: plain values, and the line of every key. Strict where YAML is
lax."""

from pathlib import Path
from typing import Any

import yaml

from dsr1.hosts.errors import InputError
from dsr1.launcher.recipe.arguments import with_flag_names
from dsr1.launcher.recipe.layers import Keys, Layer

# the C one is ten times as fast, and in every wheel
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAX_BYTES = 2**20
_TEXT = "tag:yaml.org,2002:str"
_WORDS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool", "timestamp"))


def read_layer(file: Path, source: str) -> Layer:
    """Raises InputError that names the file, and the line of what is not YAML."""
    try:
        with file.open("rb") as opened:
            data = opened.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise InputError(f"{file}: larger than {_MAX_BYTES} bytes, so it is not a recipe")
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(f"{file}: can't be read: {why}") from None
    return parse_layer(text, source)


def parse_layer(text: str, source: str) -> Layer:
    """As read_layer, from text."""
    tree = _compose(text, source)
    values = _constructed(tree, source)
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise InputError(
            f"{source}: a recipe is a mapping with keys such as name, model and engines"
        )
    lines = _lines(tree, ())
    return with_flag_names(
        Layer(source, values, {keys: f"{source}:{line}" for keys, line in lines.items()})
    )


def parse_value(text: str, keys: Keys, source: str) -> Any:
    """A value of --set for these keys: YAML, or the text itself where that is none."""
    try:
        yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError:
        return text
    tree = _compose(text, source, keys)
    return "" if tree is None and _is_environment(keys[:-1]) else _constructed(tree, source)


def _constructed(tree: yaml.Node | None, source: str) -> Any:
    """Plain values of a tree. Raises InputError for a tag or a date that is none."""
    try:
        return None if tree is None else yaml.constructor.SafeConstructor().construct_document(tree)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{source}: not YAML: {error}") from None


def _compose(text: str, source: str, at: Keys = ()) -> yaml.Node | None:
    """The node tree with line numbers; refuses what YAML lets pass: aliases (they can explode) and
    double keys.

    `at` are the keys that it is below. Variables are text, as they are written: 010, 1.10 and
    yes stay that.
    """
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=_LOADER)):
            raise InputError(f"{source}: YAML aliases (*name) are not allowed in a recipe")
        tree: yaml.Node | None = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(
            f"{source}{line}: not YAML: {getattr(error, 'problem', None) or error}"
        ) from None
    _refuse_odd_keys(tree, source)
    _keep_text(tree, at)
    return tree


def _keep_text(node: yaml.Node | None, at: Keys) -> None:
    if isinstance(node, yaml.ScalarNode) and _is_environment(at[:-1]) and node.tag in _WORDS:
        node.tag = _TEXT
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        _keep_text(value, (*at, str(key.value)))


def _is_environment(keys: Keys) -> bool:
    """Whether these are the keys of an `env`; an engine may be called so."""
    return keys[-1:] == ("env",) and keys[-2:-1] != ("engines",)


def _refuse_odd_keys(node: yaml.Node | None, source: str) -> None:
    """Refuses keys that aren't text, and those that appear twice."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_odd_keys(item, source)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        _refuse_odd_key(key, seen, source)
        seen.add(key.value)
        _refuse_odd_keys(value, source)


def _refuse_odd_key(key: yaml.Node, seen: set[str], source: str) -> None:
    location = f"{source}:{key.start_mark.line + 1}"
    if not isinstance(key, yaml.ScalarNode):
        raise InputError(f"{location}: a list or a mapping can't be a key")
    if key.tag != _TEXT:
        raise InputError(f"{location}: key {key.value!r} is not text to YAML; put it in quotes")
    if key.value in seen:
        raise InputError(f"{location}: key {key.value!r} appears twice")


def _lines(node: yaml.Node | None, at: Keys) -> dict[Keys, int]:
    """The line of every key."""
    found: dict[Keys, int] = {}
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        keys = (*at, str(key.value))
        found |= {keys: key.start_mark.line + 1} | _lines(value, keys)
    return found
