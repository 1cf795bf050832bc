"""A recipe's YAML as layers (what it extends, itself, profiles, --set), merged; every value knows
its place."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dsr1.hosts.errors import InputError

_LOADER = getattr(
    yaml, "CSafeLoader", yaml.SafeLoader
)  # the C one is ten times as fast, and in every wheel
_MAX_BYTES = 2**20
_TEXT = "tag:yaml.org,2002:str"
_WORDS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool", "timestamp"))
Keys = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """Plain values and, for the keys on the way to each of them, where they stand:
    `recipe.yaml:12`."""

    source: str
    values: Mapping[str, Any]
    places: Mapping[Keys, str]


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
    return Layer(
        source, values, {keys: f"{source}:{line}" for keys, line in _lines(tree, ()).items()}
    )


def parse_value(text: str, keys: Keys, source: str) -> Any:
    """A value of --set for these keys: YAML, or the text itself where that is none."""
    try:
        yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError:
        return text
    tree = _compose(text, source, keys)
    return "" if tree is None and _is_environment(keys[:-1]) else _constructed(tree, source)


def layer_part(layer: Layer, keys: Keys, label: str) -> Layer:
    """What stands below these keys, as a layer of its own. Raises InputError when that is no
    mapping."""
    values: Any = layer.values
    for key in keys:
        values = values[key]
    if not isinstance(values, Mapping):
        raise InputError(
            f"{layer.places[keys]}: {'.'.join(keys)}: is {values!r}, a mapping is wanted"
        )
    depth = len(keys)
    below = {
        at[depth:]: f"{place} ({label})" for at, place in layer.places.items() if at[:depth] == keys
    }
    return Layer(layer.source, values, {at: place for at, place in below.items() if at})


def without_key(layer: Layer, *names: str) -> Layer:
    values = {key: value for key, value in layer.values.items() if key not in names}
    return Layer(
        layer.source,
        values,
        {at: place for at, place in layer.places.items() if at[0] not in names},
    )


def merge_layers(*layers: Layer) -> Layer:
    """Later ones win. Mappings are merged key by key, everything else is replaced; null takes out
    what was there."""
    merged: dict[str, Any] = {}
    places: dict[Keys, str] = {}
    for layer in layers:
        _merge(merged, layer.values, (), places, layer.places)
    return Layer(layers[-1].source, merged, places)


def assign(layer: Layer, keys: Keys, value: object, place: str) -> Layer:
    """With this value in the place of whatever is there. Raises InputError where a key on the way
    has none below it."""
    values = _with(layer.values, keys, value, place)
    kept = {at: told for at, told in layer.places.items() if at[: len(keys)] != keys}
    return Layer(layer.source, values, {**kept, **dict.fromkeys(_paths(value, keys), place)})


def place_of(layer: Layer, keys: Keys) -> str:
    """Where a value stands, or the last key on the way to it that stands anywhere, or what is below
    it; else the layer's name.
    """
    for depth in range(len(keys), 0, -1):
        if keys[:depth] in layer.places:
            return layer.places[keys[:depth]]
    below = (place for at, place in layer.places.items() if keys and at[: len(keys)] == keys)
    return next(below, layer.source)


def _merge(
    into: dict[str, Any],
    values: Mapping[str, Any],
    at: Keys,
    places: dict[Keys, str],
    new: Mapping[Keys, str],
) -> None:
    for key, value in values.items():
        keys = (*at, key)
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value, keys, places, new)
        elif value is None and key in into:
            _forget(places, keys)
            del into[key]
            continue
        else:
            _forget(places, keys)
            into[key] = _copied(value)
            places |= {found: place for found, place in new.items() if found[: len(keys)] == keys}
        if keys in new:
            places[keys] = new[keys]


def _forget(places: dict[Keys, str], keys: Keys) -> None:
    for found in [found for found in places if found[: len(keys)] == keys]:
        del places[found]


def _copied(value: object) -> object:
    return (
        {key: _copied(inner) for key, inner in value.items()}
        if isinstance(value, Mapping)
        else value
    )


def _with(values: Mapping[str, Any], keys: Keys, value: object, place: str) -> dict[str, Any]:
    first, *rest = keys
    if not rest:
        return {**values, first: value}
    inner = values.get(first)
    if inner is not None and not isinstance(inner, Mapping):
        raise InputError(f"{place}: {first!r} is {inner!r}, which has no keys below it")
    return {**values, first: _with(inner or {}, tuple(rest), value, place)}


def _paths(value: object, at: Keys) -> list[Keys]:
    inner = value.items() if isinstance(value, Mapping) else ()
    return [at, *(path for key, below in inner for path in _paths(below, (*at, str(key))))]


def _constructed(tree: yaml.Node | None, source: str) -> Any:
    """Plain values of a tree. Raises InputError for a tag or a date that is none."""
    try:
        return None if tree is None else yaml.constructor.SafeConstructor().construct_document(tree)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{source}: not YAML: {error}") from None


def _compose(text: str, source: str, at: Keys = ()) -> yaml.Node | None:
    """The node tree with line numbers; refuses what YAML lets pass: aliases (they can explode) and
    double keys.

    `at` are the keys that it stands below. Variables are text, as they are written: 010, 1.10 and
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
    """Keys that are no text, and those that stand twice."""
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
    place = f"{source}:{key.start_mark.line + 1}"
    if not isinstance(key, yaml.ScalarNode):
        raise InputError(f"{place}: a list or a mapping can't be a key")
    if key.tag != _TEXT:
        raise InputError(f"{place}: key {key.value!r} is not text to YAML; put it in quotes")
    if key.value in seen:
        raise InputError(f"{place}: key {key.value!r} stands twice")


def _lines(node: yaml.Node | None, at: Keys) -> dict[Keys, int]:
    """The line of every key."""
    found: dict[Keys, int] = {}
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        keys = (*at, str(key.value))
        found |= {keys: key.start_mark.line + 1} | _lines(value, keys)
    return found
