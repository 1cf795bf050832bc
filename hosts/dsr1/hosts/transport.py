"""How the agents are reached: what every transport (local, SSH, srun) offers to the supervisor."""

import json
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from dsr1.hosts.commands import Command
from dsr1.hosts.events import Gone
from dsr1.hosts.facts.fact import Fact, from_wire
from dsr1.hosts.process import HostPlan
from dsr1.hosts.wire import Numbered

__all__ = [
    "NO_SECRETS",
    "Door",
    "HostState",
    "Link",
    "Numbered",
    "ProcessState",
    "Transport",
    "parse_doors",
    "parse_facts",
    "parse_look",
]


NO_SECRETS: Mapping[str, str] = types.MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ProcessState:
    """`state`: running, while anything of the process's group lives, or gone. `pid` None: it was never spawned."""

    name: str
    state: str
    pid: int | None


@dataclass(frozen=True, slots=True)
class HostState:
    """What a look at a host found. `agent`: alive or dead. `rebooted`: the host has booted since the agent started."""

    agent: str
    rebooted: bool
    processes: tuple[ProcessState, ...]


@dataclass(frozen=True, slots=True)
class Door:
    """A TCP port that a process of the run listens on."""

    process: str
    address: str
    port: int

    @property
    def everywhere(self) -> bool:
        """Whether it listens on every address of its host."""
        return self.address in ("0.0.0.0", "::")


class Link(Protocol):
    """A connection to one agent. Losing it changes nothing there; attach again with the last `seq` seen."""

    def send(self, command: Command) -> None:
        """HostError when the connection is lost."""

    def events(self) -> Iterator[Numbered]:
        """Past events first, then as they come; ends when the connection is lost or the agent quits."""

    def close(self) -> None:
        """Ends `events`, from another thread too."""


class Transport(Protocol):
    """The way to the agents of one run. All methods raise HostError, with a remedy."""

    def start(self, plan: HostPlan, secrets: Mapping[str, str] = NO_SECRETS) -> None:
        """Start the agent of the plan's host, with its secrets by name. It starts nothing by itself."""

    def attach(self, host: str, since: int) -> Link:
        """Connect to a host's agent, for its events with a `seq` above `since`."""

    def end(self, host: str) -> Gone:
        """End the agent and everything it started, also when the agent itself is dead. Nothing started: Gone(())."""

    def logs(self, host: str, follow: Callable[[], bool]) -> Iterator[tuple[str, str]]:
        """(process, text) of every log of the host, as long as `follow` says so, and once more after.

        Text is whole lines, many at once.
        """

    def facts(self, host: str, model: str) -> dict[str, Fact]:
        """What the host is like, and the model in its folder, see dsr1.hosts.facts.

        Its clock's offset from ours, in seconds, is among it.
        """

    def doors(self, host: str) -> tuple[Door, ...]:
        """What listens where, as the host's kernel has it."""

    def look(self, host: str) -> HostState:
        """What runs, from the host's records. Disturbs nothing."""


def parse_look(text: bytes) -> HostState:
    plain = json.loads(text)
    processes = (ProcessState(name, seen["state"], seen["pid"]) for name, seen in plain["processes"].items())
    return HostState(plain["agent"], plain["rebooted"], tuple(processes))


def parse_facts(text: bytes, asked: float, answered: float) -> dict[str, Fact]:
    """The clock's offset is to the middle of the round trip; `asked` and `answered` are seconds since the epoch."""
    facts = from_wire(json.loads(text))
    now = facts["clock.now"].value
    offset = now - (asked + answered) / 2 if isinstance(now, float) else None
    # A slow answer says little of the clock: half the round trip is not known.
    sure = None if offset is None else max(0.0, abs(offset) - (answered - asked) / 2)
    return {**facts, "clock.offset": Fact(sure, "its clock against ours, less half the round trip")}


def parse_doors(text: bytes) -> tuple[Door, ...]:
    return tuple(Door(str(process), str(address), int(port)) for process, address, port in json.loads(text))
