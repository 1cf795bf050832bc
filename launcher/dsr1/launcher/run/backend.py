"""Where a run lives, and what each such place can do with it. What they have in common are a run's
folder and its words; which one it is, dsr1.launcher.operate.backends says."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.transport.base import Transport
from dsr1.launcher.run.record.sources import ValueSource
from dsr1.launcher.run.state import OnState, RunState
from dsr1.launcher.run.store import Run

if TYPE_CHECKING:
    from dsr1.launcher.recipe.models import Recipe
    from dsr1.slurm.allocation import Allocation


OnDoubt = Callable[[str], None]
"""Told in words what could not be asked."""


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """What is to be launched. `accesses` are the hosts, where they are given; `skip` are checks or
    kinds of checks to go on without. Without `wait` it returns before the run serves. `sources`:
    of the recipe's values, by dotted keys. `allocation`: the one of the user's that it is to be
    in."""

    recipe: "Recipe"
    name: str
    accesses: tuple[Access, ...] = ()
    no_check: bool = False
    skip: tuple[str, ...] = ()
    wait: bool = True
    sources: Mapping[str, ValueSource] = field(default_factory=dict)
    allocation: "Allocation | None" = None


@dataclass(frozen=True, slots=True)
class RunStatus:
    """`alive_by_host`: names of processes; `unreached`: of a host that can't be asked, why. `note`:
    what else couldn't be asked."""

    state: RunState
    supervised: bool
    alive_by_host: Mapping[str, tuple[str, ...]]
    unreached: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def alive(self) -> tuple[str, ...]:
        return tuple(sorted(name for names in self.alive_by_host.values() for name in names))


class Backend(ABC):
    """A place where runs live. A new one is a module with a class like this, and a row in
    dsr1.launcher.operate.backends."""

    @abstractmethod
    def launch(self, request: LaunchRequest, show: OnState) -> Run:
        """Start a run, and show every state until it serves. Failure, Ctrl-C and SIGTERM leave
        nothing running.

        Raises InputError for a name that is taken, CheckFailed when a host isn't fit, LaunchFailed.
        """

    @abstractmethod
    def state(self, run: Run) -> RunState:
        """By the word of its supervisor, and of whoever ended that."""

    @abstractmethod
    def phases(self, runs: Sequence[Run], doubt: OnDoubt) -> dict[str, str]:
        """By name. For all runs together no more is asked than for one. `doubt` is told of those
        that can't be asked: they are as they were written down."""

    @abstractmethod
    def status(self, run: Run) -> RunStatus:
        """From what really runs."""

    @abstractmethod
    def stop(self, run: Run) -> tuple[str, ...]:
        """End it, whoever else lives. What may be left, in words; else nothing."""

    @abstractmethod
    def transport(self, run: Run) -> Transport:
        """To the agents of a run that is planned."""

    @abstractmethod
    def take_over(self, run: Run) -> None:
        """A new supervisor for agents that run without one. InputError: there is nothing to take
        over."""


def planned_processes(run: Run) -> dict[str, tuple[str, ...]]:
    """Names by host."""
    names: dict[str, tuple[str, ...]] = {}
    for one in run.plan().processes:
        names[one.host] = (*names.get(one.host, ()), one.name)
    return names
