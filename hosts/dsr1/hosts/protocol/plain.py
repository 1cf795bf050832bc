"""Dataclasses as JSON, and back by their type hints."""

import functools
import json
import types
from collections.abc import Callable
from dataclasses import MISSING, asdict, fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from dsr1.hosts.protocol.bounded import parse_bounded, show

PlainT = TypeVar("PlainT")

_hints: Callable[[Any], dict[str, Any]] = functools.cache(get_type_hints)
_origin: Callable[[Any], Any] = functools.cache(get_origin)
_args: Callable[[Any], tuple[Any, ...]] = functools.cache(get_args)


def from_plain(kind: type[PlainT], value: object, where: str = "") -> PlainT:
    """What JSON gave, as the type `kind`. ValueError names the place and the value."""
    made: PlainT = _value(kind, value, where)
    return made


def parse_json(kind: type[PlainT], text: bytes | str) -> PlainT:
    """ValueError: this is not JSON, or not of the type `kind`."""
    return from_plain(kind, parse_bounded(text))


def to_json(record: Any) -> bytes:
    """A dataclass, without a newline."""
    return json.dumps(asdict(record)).encode()


def _value(kind: Any, value: object, where: str) -> Any:
    if is_dataclass(kind):
        return _parse_dataclass(kind, value, where or getattr(kind, "__name__", "value"))
    if _origin(kind) is tuple:
        return _parse_tuple(kind, value, where)
    if _origin(kind) is dict:
        return _parse_dict(kind, value, where)
    if _origin(kind) in (types.UnionType, Union):
        return _parse_union(kind, value, where)
    return _parse_scalar(kind, value, where)


@functools.cache
def _required(kind: Any) -> frozenset[str]:
    """Fields that have no default."""
    return frozenset(
        f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING
    )


def _parse_dataclass(kind: Any, value: object, where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: must be an object, not {show(value)}")
    hints, required = _hints(kind), _required(kind)
    if unknown := sorted(value.keys() - hints.keys()):
        raise ValueError(f"{where}: unknown key {show(unknown[0])}; allowed: {', '.join(hints)}")
    if missing := sorted(required - value.keys()):
        raise ValueError(f"{where}: {missing[0]!r} is missing")
    return kind(**{name: _part(hints[name], item, where, name) for name, item in value.items()})


def _part(kind: Any, value: object, where: str, name: object) -> Any:
    """Most parts are of the right type already: then no place needs to be named."""
    return value if type(value) is kind else _value(kind, value, f"{where}.{name}")


def _parse_tuple(kind: Any, value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{where}: must be a list, not {show(value)}")
    args = _args(kind)
    kinds = (args[0],) * len(value) if args[-1] is Ellipsis else args
    if len(kinds) != len(value):
        raise ValueError(f"{where}: must have {len(kinds)} items, not {len(value)}")
    return tuple(
        item if type(item) is kind else _value(kind, item, f"{where}[{index}]")
        for index, (kind, item) in enumerate(zip(kinds, value))  # noqa: B905
    )


def _parse_dict(kind: Any, value: object, where: str) -> dict[str, Any]:
    """JSON's keys are text."""
    if not isinstance(value, dict):
        raise ValueError(f"{where}: must be an object, not {show(value)}")
    _, item_kind = _args(kind)
    return {str(name): _part(item_kind, item, where, name) for name, item in value.items()}


def _parse_union(kind: Any, value: object, where: str) -> Any:
    """`X | None`; a union of several types is FactValue: whatever JSON can say."""
    kinds = [arg for arg in _args(kind) if arg is not type(None)]
    if len(kinds) > 1 or value is None:
        return value
    return _value(kinds[0], value, where)


def _parse_scalar(kind: Any, value: object, where: str) -> Any:
    allowed = (int, float) if kind is float else kind
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{where}: must be {kind.__name__}, not {show(value)}")
    return kind(value)
