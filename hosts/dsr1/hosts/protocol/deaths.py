"""Events that tell of the end of a process, as evidence."""

from dsr1.hosts.protocol.events import Event, Exited, MemberDied
from dsr1.hosts.protocol.evidence import ProcessDeath


def death_of(event: Event, time: float) -> ProcessDeath | None:
    """`time`: of the event, in seconds since the epoch. None: it tells of no end."""
    match event:
        case MemberDied(process, component, pid, code, requested):
            return ProcessDeath(process, component, pid, code, time, requested)
        case Exited(process, code, requested, _, error):
            return ProcessDeath(process, "main", 0, code, time, requested, error)
    return None
