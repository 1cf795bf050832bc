"""Who ended, as the agent's own events have it."""

from collections.abc import Iterator
from pathlib import Path

from dsr1.hosts.protocol.codec import NumberedEvent, parse_event
from dsr1.hosts.protocol.events import Exited, MemberDied
from dsr1.hosts.protocol.evidence import ProcessDeath

TAIL_BYTES = 8 << 20
OURS = (b'"event":"MemberDied"', b'"event":"Exited"')


def read_deaths(path: Path) -> tuple[ProcessDeath, ...]:
    """Oldest first, of mains and of their lasting members. An agent that can't write its events, or
    has none, gives none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            lines = file.read(TAIL_BYTES).split(b"\n")
    except OSError:
        return ()
    return tuple(_deaths([line for line in lines if any(word in line for word in OURS)]))


def _deaths(lines: list[bytes]) -> Iterator[ProcessDeath]:
    for line in lines:
        try:
            yield death_of(parse_event(line))
        except ValueError:  # cut short by a full disk
            continue


def death_of(numbered: NumberedEvent) -> ProcessDeath:
    """ValueError: the event is of no death."""
    match numbered.event:
        case MemberDied(process, component, pid, code, time, requested):
            return ProcessDeath(process, component, pid, code, time, requested)
        case Exited(process, code, requested, _, error):
            return ProcessDeath(process, "main", 0, code, numbered.time, requested, error)
    raise ValueError(f"no death: {numbered.event}")
