"""Findings as lines for a person, and the finding of a host that could not be asked."""

from collections.abc import Iterable, Iterator

from dsr1.hosts.errors import Dsr1Error
from dsr1.hosts.events import Finding

REACH = "host.reach"


def unreached(host: str, error: Dsr1Error) -> Finding:
    return Finding(host, REACH, "FAIL", str(error), "an agent that answers", "See what it says, or leave the host out.")


def folded(findings: Iterable[Finding]) -> Iterator[str]:
    """One line for equal findings of several hosts, which it names."""
    hosts: dict[str, list[str]] = {}
    for f in findings:
        hosts.setdefault(f"{f.check}: {f.seen}; wanted {f.wanted}. {f.fix}", []).append(f.host)
    yield from (f"{', '.join(sorted(names))}: {line}" for line, names in sorted(hosts.items()))
