"""A recipe as layers (what it extends, itself, profiles, --set), merged; every value keeps where it
came from. Pure."""

from collections.abc import Mapping
from typing import Any

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError

Keys = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """Plain values and, for the keys on the way to each of them, where they were written:
    `recipe.yaml:12`."""

    source: str
    values: Mapping[str, Any]
    locations: Mapping[Keys, str]


def layer_part(layer: Layer, keys: Keys, label: str) -> Layer:
    """What is below these keys, as a layer of its own. Raises InputError when that is no
    mapping."""
    values: Any = layer.values
    for key in keys:
        values = values[key]
    if not isinstance(values, Mapping):
        raise InputError(
            f"{layer.locations[keys]}: {'.'.join(keys)}: is {values!r}; it must be a mapping"
        )
    depth = len(keys)
    below = {
        at[depth:]: f"{location} ({label})"
        for at, location in layer.locations.items()
        if at[:depth] == keys
    }
    return Layer(layer.source, values, {at: location for at, location in below.items() if at})


def without_key(layer: Layer, *names: str) -> Layer:
    values = {key: value for key, value in layer.values.items() if key not in names}
    return Layer(
        layer.source,
        values,
        {at: location for at, location in layer.locations.items() if at[0] not in names},
    )


def without_keys(layer: Layer, keys: Keys) -> Layer:
    """Without what these keys lead to; those on the way to it stay."""
    *way, last = keys
    inner: Any = layer.values
    for key in way:
        inner = inner[key]
    left = {key: value for key, value in inner.items() if key != last}
    values = _replaced(layer.values, tuple(way), left, "")
    kept = {at: found for at, found in layer.locations.items() if at[: len(keys)] != keys}
    return Layer(layer.source, values, kept)


def merge_layers(*layers: Layer) -> Layer:
    """Later ones win. Mappings are merged key by key, everything else is replaced; null takes out
    what was there."""
    merged: dict[str, Any] = {}
    locations: dict[Keys, str] = {}
    for layer in layers:
        _merge(merged, layer.values, (), locations, layer.locations)
    return Layer(layers[-1].source, merged, locations)


def assign(layer: Layer, keys: Keys, value: object, location: str) -> Layer:
    """With this value instead of whatever is there. Raises InputError where a key on the way
    has none below it."""
    values = _replaced(layer.values, keys, value, location)
    kept = {at: found for at, found in layer.locations.items() if at[: len(keys)] != keys}
    return Layer(layer.source, values, {**kept, **dict.fromkeys(_paths(value, keys), location)})


def replace_value(values: Mapping[str, Any], keys: Keys, value: object) -> dict[str, Any]:
    """The same values, but for the one at these keys, which is there."""
    return _replaced(values, keys, value, "")


def value_at(layer: Layer, keys: Keys) -> object:
    """None where there is none."""
    value: object = layer.values
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def location_of(layer: Layer, keys: Keys) -> str:
    """Where a value was written, or the last key on the way to it that was, or what is below it;
    else the layer's name.
    """
    for depth in range(len(keys), 0, -1):
        if keys[:depth] in layer.locations:
            return layer.locations[keys[:depth]]
    below = (
        location for at, location in layer.locations.items() if keys and at[: len(keys)] == keys
    )
    return next(below, layer.source)


def _merge(
    into: dict[str, Any],
    values: Mapping[str, Any],
    at: Keys,
    locations: dict[Keys, str],
    new: Mapping[Keys, str],
) -> None:
    for key, value in values.items():
        keys = (*at, key)
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value, keys, locations, new)
        elif value is None and key in into:
            _forget(locations, keys)
            del into[key]
            continue
        else:
            _forget(locations, keys)
            into[key] = _copied(value)
            locations |= {
                found: location for found, location in new.items() if found[: len(keys)] == keys
            }
        if keys in new:
            locations[keys] = new[keys]


def _forget(locations: dict[Keys, str], keys: Keys) -> None:
    for found in [found for found in locations if found[: len(keys)] == keys]:
        del locations[found]


def _copied(value: object) -> object:
    return (
        {key: _copied(inner) for key, inner in value.items()}
        if isinstance(value, Mapping)
        else value
    )


def _replaced(
    values: Mapping[str, Any], keys: Keys, value: object, location: str
) -> dict[str, Any]:
    first, *rest = keys
    if not rest:
        return {**values, first: value}
    inner = values.get(first)
    if inner is not None and not isinstance(inner, Mapping):
        raise InputError(f"{location}: {first!r} is {inner!r}, which has no keys below it")
    return {**values, first: _replaced(inner or {}, tuple(rest), value, location)}


def _paths(value: object, at: Keys) -> list[Keys]:
    inner = value.items() if isinstance(value, Mapping) else ()
    return [at, *(path for key, below in inner for path in _paths(below, (*at, str(key))))]
