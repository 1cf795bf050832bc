"""Which of a host's CPUs a load driver runs on: none that a run's processes are bound to."""

import contextlib
import os
from collections.abc import Iterable

from dsr1.hosts.agent.kin.belonging import find_marked

FEW, MANY = 2, 16
"""A driver is one busy thread and a few that help; a host below MANY CPUs has none over."""


def choose_cpus(run_id: str) -> tuple[int, ...]:
    """Empty: any, since nothing of the run is bound to some, and there are few."""
    everything = os.sched_getaffinity(0)
    return free_cpus(everything, _bound(run_id, everything))


def free_cpus(everything: Iterable[int], bound: Iterable[int]) -> tuple[int, ...]:
    """Those that nothing is bound to; where nothing is bound at all, the last few of many: a
    kernel keeps others off CPUs that are busy."""
    known, taken = sorted(everything), frozenset(bound)
    free = tuple(cpu for cpu in known if cpu not in taken)
    if taken:
        return free
    return free[-max(FEW, len(free) // MANY) :] if len(free) >= MANY else ()


def _bound(run_id: str, everything: "set[int]") -> "set[int]":
    """CPUs of those of its processes that may not run on all."""
    found: set[int] = set()
    for pid, (_, marks) in find_marked().items():
        if run_id and marks.identity.run_id == run_id:
            with contextlib.suppress(OSError):
                own = os.sched_getaffinity(pid)
                found |= own if own < everything else set()
    return found
