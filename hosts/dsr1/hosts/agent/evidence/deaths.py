"""Who ended, as the agent's own events have it."""

from collections.abc import Iterator
from pathlib import Path

from dsr1.hosts.protocol.codec import parse_event
from dsr1.hosts.protocol.deaths import death_of
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
            numbered = parse_event(line)
        except ValueError:  # cut short by a full disk
            continue
        if death := death_of(numbered.event, numbered.time):
            yield death
