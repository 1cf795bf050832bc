"""A recipe as layers (what it extends, itself, profiles, --set), merged; every value keeps where it
came from. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dsr1.hosts.errors import InputError

Keys = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """Plain values and, for the keys on the way to each of them, where they stand:
    `recipe.yaml:12`."""

    source: str
    values: Mapping[str, Any]
    places: Mapping[Keys, str]


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
    values = _replaced(layer.values, keys, value, place)
    kept = {at: found for at, found in layer.places.items() if at[: len(keys)] != keys}
    return Layer(layer.source, values, {**kept, **dict.fromkeys(_paths(value, keys), place)})


def replace_value(values: Mapping[str, Any], keys: Keys, value: object) -> dict[str, Any]:
    """The same values, but for the one at these keys, which is there."""
    return _replaced(values, keys, value, "")


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


def _replaced(values: Mapping[str, Any], keys: Keys, value: object, place: str) -> dict[str, Any]:
    first, *rest = keys
    if not rest:
        return {**values, first: value}
    inner = values.get(first)
    if inner is not None and not isinstance(inner, Mapping):
        raise InputError(f"{place}: {first!r} is {inner!r}, which has no keys below it")
    return {**values, first: _replaced(inner or {}, tuple(rest), value, place)}


def _paths(value: object, at: Keys) -> list[Keys]:
    inner = value.items() if isinstance(value, Mapping) else ()
    return [at, *(path for key, below in inner for path in _paths(below, (*at, str(key))))]
