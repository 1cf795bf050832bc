"""What a host's agent reports, read from the JSON that it prints. One of NONSENSE: it printed
something else.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import HostError
from dsr1.hosts.protocol.bounded import parse_bounded, show
from dsr1.hosts.protocol.facts.fact import Fact, Facts, from_wire
from dsr1.hosts.protocol.plain import from_plain, parse_json

FactsByHost = Mapping[str, Facts | HostError]  # or why a host gave none
MOST_GPUS = 1024
_INTERFACE = re.compile(r"[^\s/]{0,15}", re.ASCII)  # IFNAMSIZ, netdevice(7)
CONTROLS = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), "\ufffd")


@dataclass(frozen=True, slots=True)
class HostIntroduction:
    """Who a host is, see dsr1.hosts.agent.network.introduction."""

    boot_id: str
    arch: str
    gpus: int
    address: str
    interface: str


@dataclass(frozen=True, slots=True)
class ProcessState:
    """`state`: running, while anything of the process's group lives, or gone. `pid` None: it was
    never spawned."""

    name: str
    state: str
    pid: int | None


@dataclass(frozen=True, slots=True)
class HostState:
    """What runs on a host. `agent`: alive or dead. `last_event`: the number of its last event when
    that was looked at; 0: none is on record."""

    agent: str
    processes: tuple[ProcessState, ...]
    boot_id: str = ""
    last_event: int = 0

    @property
    def running(self) -> frozenset[str]:
        """Processes of which anything lives, by name."""
        return frozenset(one.name for one in self.processes if one.state == "running")


@dataclass(frozen=True, slots=True)
class HostRun:
    """A run that something lives of on a host, found by its marks. `host` is the name that its plan
    has for the host, `origin` who launched it, from where and when, `agent` whether its agent
    lives, `watched` who its agent hears as the run's supervisor, in words; empty: nobody."""

    run: str
    run_id: str
    host: str
    folder: str
    origin: str
    alive: tuple[str, ...]
    agent: bool
    watched: str = ""


@dataclass(frozen=True, slots=True)
class Listener:
    """A TCP port that a process of the run listens on."""

    process: str
    address: str
    port: int

    @property
    def everywhere(self) -> bool:
        """Whether it listens on every address of its host."""
        return self.address in ("0.0.0.0", "::")


def parse_introduction(text: bytes) -> HostIntroduction:
    """What its plan is made of: an address that is one, and as many GPUs as a host can have."""
    found = parse_json(HostIntroduction, text)
    if found.address:
        ipaddress.ip_address(found.address)
    if not 0 <= found.gpus <= MOST_GPUS:
        raise ValueError(f"it has {found.gpus} GPUs")
    if not _INTERFACE.fullmatch(found.interface):
        raise ValueError(f"no interface is called {show(found.interface)}")
    return found


def parse_host_state(text: bytes) -> HostState:
    plain = parse_bounded(text)
    processes = (
        ProcessState(name, state["state"], state["pid"])
        for name, state in plain["processes"].items()
    )
    last_event = int(plain.get("last_event", 0))
    return HostState(plain["agent"], tuple(processes), plain["boot_id"], last_event)


def parse_texts(text: bytes) -> dict[str, str]:
    return {str(name): str(value) for name, value in parse_bounded(text).items()}


def parse_names(text: bytes) -> tuple[str, ...]:
    return tuple(from_plain(str, one) for one in parse_bounded(text))


def parse_host_runs(text: bytes) -> tuple[HostRun, ...]:
    return tuple(from_plain(HostRun, plain) for plain in clean(parse_bounded(text)))


def parse_listeners(text: bytes) -> tuple[Listener, ...]:
    return tuple(
        Listener(str(process), str(address), int(port))
        for process, address, port in parse_bounded(text)
    )


def parse_facts(text: bytes, asked: float, answered: float) -> dict[str, Fact]:
    """The clock's offset is to the middle of the round trip; `asked` and `answered` are seconds
    since the epoch."""
    facts = from_wire(clean(parse_bounded(text)) if b"\\u" in text else parse_bounded(text))
    now = facts["clock.now"].value
    offset = now - (asked + answered) / 2 if isinstance(now, float) else None
    # A slow answer says little of the clock: half the round trip is not known.
    sure = None if offset is None else max(0.0, abs(offset) - (answered - asked) / 2)
    return {**facts, "clock.offset": Fact(sure, "its clock against ours, less half the round trip")}


def clock_ahead(now: float, asked: float, answered: float) -> float:
    """How far a host's clock that showed `now` is surely ahead of ours, in seconds; negative:
    behind. 0 where its answer fits between our question and its arrival."""
    return now - min(max(now, asked), answered)


def clean(value: Any) -> Any:
    """What others chose (names of files, commands, variables) ends on a terminal: no lone
    surrogates, no controls."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode().translate(CONTROLS)
    if isinstance(value, list):
        return [clean(one) for one in value]
    if isinstance(value, dict):
        return {clean(name): clean(one) for name, one in value.items()}
    return value
