"""Findings as lines for a person."""

from collections.abc import Iterable, Iterator

from dsr1.hosts.events import Finding


def folded(findings: Iterable[Finding]) -> Iterator[str]:
    """One line for equal findings of several hosts, which it names."""
    hosts: dict[str, list[str]] = {}
    for f in findings:
        hosts.setdefault(f"{f.check}: {f.seen}; wanted {f.wanted}. {f.fix}", []).append(f.host)
    yield from (f"{', '.join(sorted(names))}: {line}" for line, names in sorted(hosts.items()))
