"""Plans, commands and events as JSON lines."""

import json
from collections.abc import Mapping
from dataclasses import asdict, field
from typing import Any, get_args

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.bounded import parse_bounded, show
from dsr1.hosts.protocol.commands import AgentCommand
from dsr1.hosts.protocol.events import Event, Gone
from dsr1.hosts.protocol.plain import from_plain
from dsr1.hosts.protocol.process import HostPlan


@dataclass(frozen=True, slots=True)
class NumberedEvent:
    """An event with its number: `seq` counts from 1 within an agent, `time` is seconds since the
    epoch there."""

    seq: int
    time: float
    host: str
    event: Event


EVENTS: dict[str, type] = {kind.__name__: kind for kind in get_args(Event)}
COMMANDS: dict[str, type] = {kind.__name__: kind for kind in get_args(AgentCommand)}


def _line(plain: dict[str, Any]) -> bytes:
    return json.dumps(plain, separators=(",", ":")).encode() + b"\n"


def _object(text: bytes | str) -> dict[str, Any]:
    plain = parse_bounded(text)
    if not isinstance(plain, dict):
        raise ValueError(f"must be an object, not {show(plain)}")
    return plain


def _named(kinds: dict[str, type], name: object) -> type:
    if not isinstance(name, str) or name not in kinds:
        raise ValueError(f"unknown kind {show(name)}; allowed: {', '.join(kinds)}")
    return kinds[name]


def render_plan(plan: HostPlan) -> bytes:
    return _line(asdict(plan))


def parse_plan(text: bytes | str) -> HostPlan:
    return from_plain(HostPlan, _object(text))


@dataclass(frozen=True, slots=True)
class StartOrder:
    """What an agent is started with. `secrets` by name are for its processes; `kept` are files of
    the run by name, for whoever rebuilds the run's folder from its hosts."""

    plan: HostPlan
    secrets: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)


def render_start(start: StartOrder) -> bytes:
    """A line each for the plan, its secrets and the run's files, so that no secret is in a plan."""
    return render_plan(start.plan) + _line(dict(start.secrets)) + _line(dict(start.kept))


def parse_start(text: bytes) -> StartOrder:
    plan, *rest = text.splitlines()
    secrets, kept = (*map(_texts, rest), {}, {})[:2]
    return StartOrder(parse_plan(plan), secrets, kept)


def _texts(line: bytes) -> dict[str, str]:
    return {str(name): str(value) for name, value in _object(line).items()}


def render_command(command: AgentCommand) -> bytes:
    return _line({"command": type(command).__name__, **asdict(command)})


def parse_command(text: bytes | str) -> AgentCommand:
    plain = _object(text)
    command: AgentCommand = from_plain(_named(COMMANDS, plain.pop("command", None)), plain)
    return command


def render_event(numbered: NumberedEvent) -> bytes:
    event = numbered.event
    head = {"seq": numbered.seq, "time": numbered.time, "host": numbered.host}
    return _line({**head, "event": type(event).__name__, **asdict(event)})


def parse_event(text: bytes | str) -> NumberedEvent:
    plain = _object(text)
    try:
        head = (int(plain.pop("seq")), float(plain.pop("time")), str(plain.pop("host")))
    except (KeyError, TypeError) as error:
        raise ValueError(f"an event without its number, time or host: {error}") from error
    return NumberedEvent(*head, from_plain(_named(EVENTS, plain.pop("event", None)), plain))


def render_gone(gone: Gone) -> bytes:
    return _line({"event": "Gone", **asdict(gone)})


def parse_gone(text: bytes | str) -> Gone:
    plain = _object(text)
    _named({"Gone": Gone}, plain.pop("event", None))
    return from_plain(Gone, plain)
