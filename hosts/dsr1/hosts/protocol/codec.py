"""Plans, commands and events as JSON lines: written from the dataclasses, read back by their type
hints."""

import functools
import json
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from dsr1.hosts.protocol.commands import AgentCommand
from dsr1.hosts.protocol.events import Event, Gone
from dsr1.hosts.protocol.process import HostPlan


@dataclass(frozen=True, slots=True)
class NumberedEvent:
    """An event with its place: `seq` counts from 1 within an agent, `time` is seconds since the
    epoch there."""

    seq: int
    time: float
    host: str
    event: Event


DataclassType = TypeVar("DataclassType")
EVENTS: dict[str, type] = {kind.__name__: kind for kind in get_args(Event)}
COMMANDS: dict[str, type] = {kind.__name__: kind for kind in get_args(AgentCommand)}


_hints: Callable[[Any], dict[str, Any]] = functools.cache(get_type_hints)
_origin: Callable[[Any], Any] = functools.cache(get_origin)
_args: Callable[[Any], tuple[Any, ...]] = functools.cache(get_args)


@functools.cache
def _wanted(kind: Any) -> frozenset[str]:
    """Fields that have no default."""
    return frozenset(
        f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING
    )


def _parse_dataclass(kind: Any, value: object, where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: an object is wanted, not {value!r}")
    hints, wanted = _hints(kind), _wanted(kind)
    if unknown := sorted(value.keys() - hints.keys()):
        raise ValueError(f"{where}: unknown key {unknown[0]!r}; allowed: {', '.join(hints)}")
    if missing := sorted(wanted - value.keys()):
        raise ValueError(f"{where}: {missing[0]!r} is missing")
    return kind(**{name: _part(hints[name], item, where, name) for name, item in value.items()})


def _part(kind: Any, value: object, where: str, name: object) -> Any:
    """Most parts are what they should be, and need no place to be named."""
    return value if type(value) is kind else _value(kind, value, f"{where}.{name}")


def _parse_tuple(kind: Any, value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{where}: a list is wanted, not {value!r}")
    args = _args(kind)
    kinds = (args[0],) * len(value) if args[-1] is Ellipsis else args
    if len(kinds) != len(value):
        raise ValueError(f"{where}: {len(kinds)} items are wanted, not {len(value)}")
    return tuple(
        item if type(item) is kind else _value(kind, item, f"{where}[{place}]")
        for place, (kind, item) in enumerate(zip(kinds, value))  # noqa: B905
    )


def _parse_optional(kind: Any, value: object, where: str) -> Any:
    if value is None and type(None) in _args(kind):
        return None
    return _value(next(arg for arg in _args(kind) if arg is not type(None)), value, where)


def _parse_scalar(kind: Any, value: object, where: str) -> Any:
    allowed = (int, float) if kind is float else kind
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{where}: {kind.__name__} is wanted, not {value!r}")
    return kind(value)


def _value(kind: Any, value: object, where: str) -> Any:
    if is_dataclass(kind):
        return _parse_dataclass(kind, value, where or getattr(kind, "__name__", "value"))
    if _origin(kind) is tuple:
        return _parse_tuple(kind, value, where)
    if _origin(kind) in (types.UnionType, Union):
        return _parse_optional(kind, value, where)
    return _parse_scalar(kind, value, where)


def from_plain(kind: type[DataclassType], value: object, where: str = "") -> DataclassType:
    """What JSON gave, as the type `kind`. ValueError names the place and the value."""
    made: DataclassType = _value(kind, value, where)
    return made


def _line(plain: dict[str, Any]) -> bytes:
    return json.dumps(plain, separators=(",", ":")).encode() + b"\n"


def _object(text: bytes | str) -> dict[str, Any]:
    plain = json.loads(text)
    if not isinstance(plain, dict):
        raise ValueError(f"an object is wanted, not {plain!r}")
    return plain


def _named(kinds: dict[str, type], name: object) -> type:
    if not isinstance(name, str) or name not in kinds:
        raise ValueError(f"{name!r} is none of {', '.join(kinds)}")
    return kinds[name]


def render_plan(plan: HostPlan) -> bytes:
    return _line(asdict(plan))


def parse_plan(text: bytes | str) -> HostPlan:
    return from_plain(HostPlan, _object(text))


def render_start(plan: HostPlan, secrets: Mapping[str, str]) -> bytes:
    """What `start` reads: the plan on a line, then its secrets on another, so that they are in no
    argv and no plan."""
    return render_plan(plan) + _line(dict(secrets))


def parse_start(text: bytes) -> tuple[HostPlan, dict[str, str]]:
    plan, _, rest = text.partition(b"\n")
    secrets = _object(rest) if rest.strip() else {}
    return parse_plan(plan), {str(name): str(value) for name, value in secrets.items()}


def render_command(command: AgentCommand) -> bytes:
    return _line({"command": type(command).__name__, **asdict(command)})


def parse_command(text: bytes | str) -> AgentCommand:
    plain = _object(text)
    command: AgentCommand = from_plain(_named(COMMANDS, plain.pop("command", None)), plain)
    return command


def render_event(numbered: NumberedEvent) -> bytes:
    event = numbered.event
    place = {"seq": numbered.seq, "time": numbered.time, "host": numbered.host}
    return _line({**place, "event": type(event).__name__, **asdict(event)})


def parse_event(text: bytes | str) -> NumberedEvent:
    plain = _object(text)
    try:
        place = (int(plain.pop("seq")), float(plain.pop("time")), str(plain.pop("host")))
    except (KeyError, TypeError) as error:
        raise ValueError(f"an event without its place: {error}") from error
    return NumberedEvent(*place, from_plain(_named(EVENTS, plain.pop("event", None)), plain))


def render_gone(gone: Gone) -> bytes:
    return _line({"event": "Gone", **asdict(gone)})


def parse_gone(text: bytes | str) -> Gone:
    plain = _object(text)
    _named({"Gone": Gone}, plain.pop("event", None))
    return from_plain(Gone, plain)
