"""Who was there and who ended, as the agent's own events have it."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from dsr1.hosts.protocol.codec import NumberedEvent, parse_event
from dsr1.hosts.protocol.events import MemberDied, MemberNamed, Spawned
from dsr1.hosts.protocol.evidence import ProcessDeath, death_of

TAIL_BYTES = 8 << 20
KINDS = ("Spawned", "MemberNamed", "MemberDied", "Exited")
OURS = tuple(f'"event":"{kind}"'.encode() for kind in KINDS)


def read_events(path: Path) -> tuple[NumberedEvent, ...]:
    """Oldest first, of beginnings and ends. An agent that can't write its events, or has none,
    gives none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            lines = file.read(TAIL_BYTES).split(b"\n")
    except OSError:
        return ()
    return tuple(_parse([line for line in lines if any(word in line for word in OURS)]))


def _parse(lines: Iterable[bytes]) -> Iterator[NumberedEvent]:
    for line in lines:
        try:
            yield parse_event(line)
        except ValueError:  # cut short by a full disk
            continue


def deaths_of(events: Iterable[NumberedEvent]) -> Iterator[ProcessDeath]:
    """Of mains and of their lasting members. A main's exit doesn't tell its pid, its start does."""
    mains: dict[str, int] = {}
    for numbered in events:
        if isinstance(numbered.event, Spawned):
            mains[numbered.event.process] = numbered.event.pid
        elif death := death_of(numbered.event, numbered.time):
            yield replace(death, pid=death.pid or mains.get(death.process, 0))


def ended_pids(events: Iterable[NumberedEvent]) -> frozenset[int]:
    """Of all mains and lasting members that there have been."""
    told = (numbered.event for numbered in events)
    return frozenset(one.pid for one in told if isinstance(one, Spawned | MemberNamed | MemberDied))
