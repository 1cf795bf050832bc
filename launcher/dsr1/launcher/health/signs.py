"""Ranks that were told as unwell, as signs of a failure, to be judged with what the hosts show.
Pure."""

from collections.abc import Iterator, Sequence

from dsr1.launcher.health.verdicts import (
    ERROR,
    GARBLED,
    MUTE,
    SICK,
    STALLED,
    UNLISTED,
    WAITS,
    RankHealth,
)
from dsr1.launcher.triage.rules import OWN_ERROR, WAITING
from dsr1.launcher.triage.signs import Sign

OWN = (GARBLED, ERROR, UNLISTED)
_HANGS = "stacks of all its ranks (py-spy dump --native); where it compiled, a longer health.every"
REMEDIES = {
    GARBLED: "weights, kernels or a GPU: `dsr1 smoke`, `dsr1 model verify`, Xid lines in dmesg",
    ERROR: "its log",
    UNLISTED: "its log: what kept it from running for so long, or etcd",
    SICK: _HANGS,
    MUTE: _HANGS,
    WAITS: _HANGS,
    STALLED: _HANGS,
}


def health_signs(ailing: Sequence[RankHealth]) -> Iterator[Sign]:
    """A rank that stands still may wait for another; a wrong answer is its own."""
    for row in ailing:
        yield Sign(
            OWN_ERROR if row.kind in OWN else WAITING,
            row.since,
            row.host,
            row.process,
            row.why,
            REMEDIES.get(row.kind, "its log"),
            f"health.{row.kind}",
            "" if row.is_frontend else row.engine,
            None if row.is_frontend else row.rank,
        )
