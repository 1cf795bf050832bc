"""The `args` of a recipe's layers under their flags' own names, so that a later layer changes what
an earlier one wrote in another spelling. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from dsr1.hosts.errors import InputError
from dsr1.launcher.recipe.flags import canonical_flag, canonical_flags
from dsr1.launcher.recipe.layers import Keys, Layer, assign, replace_value

_ARGS = "args"


def with_flag_names(layer: Layer) -> Layer:
    """InputError, with its location, for a flag that the layer gives twice."""
    for at, args in _arguments(layer.values):
        layer = _renamed(layer, at, args)
    return layer


def _arguments(values: Mapping[str, Any]) -> Iterator[tuple[Keys, Mapping[str, Any]]]:
    """Every `args` that is a mapping. What else it may be is for the recipe's types to refuse."""
    engines = values.get("engines")
    names = engines if isinstance(engines, Mapping) else ()
    for part in (("frontend",), *(("engines", name) for name in names)):
        found: Any = values
        for key in (*part, _ARGS):
            found = found.get(key) if isinstance(found, Mapping) else None
        if isinstance(found, Mapping):
            yield (*part, _ARGS), found


def _renamed(layer: Layer, at: Keys, args: Mapping[str, Any]) -> Layer:
    try:
        flags = canonical_flags(args)
    except ValueError as error:
        raise InputError(
            f"{layer.locations.get(at, layer.source)}: {'.'.join(at)}: {error}"
        ) from None
    names = {(*at, key): (*at, canonical_flag(key, value)[0]) for key, value in args.items()}
    locations: dict[Keys, str] = {}
    for keys, location in layer.locations.items():
        key, below = keys[: len(at) + 1], keys[len(at) + 1 :]
        locations[(*names.get(key, key), *below)] = location
    return Layer(layer.source, replace_value(layer.values, at, flags), locations)


def canonical_setting(keys: Keys, value: object, source: str) -> tuple[Keys, object]:
    """The keys and the value of one change, as in a layer with nothing else in it."""
    layer = with_flag_names(assign(Layer(source, {}, {}), keys, value, source))
    found: Any = layer.values
    path: list[str] = []
    for _ in keys:
        ((key, found),) = found.items()
        path.append(key)
    return tuple(path), found
