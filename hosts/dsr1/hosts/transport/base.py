"""How the agents are reached: what every transport (local, SSH, srun) offers to the supervisor."""

import json
import time
import types
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeVar

from dsr1.hosts.errors import HostError
from dsr1.hosts.protocol.codec import NumberedEvent, from_plain, parse_gone, render_start
from dsr1.hosts.protocol.commands import AgentCommand
from dsr1.hosts.protocol.events import Gone
from dsr1.hosts.protocol.fact import Fact, Facts, from_wire
from dsr1.hosts.protocol.facts_request import FactsRequest, render_facts_request
from dsr1.hosts.protocol.process import HostPlan
from dsr1.hosts.protocol.reach import ReachAnswer, ReachQuestion
from dsr1.hosts.protocol.runtime import RuntimeAnswer, RuntimeQuestion

__all__ = [
    "NO_SECRETS",
    "AgentLink",
    "AgentVerb",
    "CommandResult",
    "FactsByHost",
    "HostState",
    "Listener",
    "NumberedEvent",
    "ProcessState",
    "Transport",
    "parse_facts",
    "parse_host_state",
    "parse_listeners",
]


FactsByHost = Mapping[str, Facts | HostError]  # or why a host told nothing
NO_SECRETS: Mapping[str, str] = types.MappingProxyType({})
# The agent bounds `end` itself, by the longest grace of the plan; this is for an agent that hangs.
START_S, END_S, FACTS_S, RUNTIME_MARGIN_S, REACH_MARGIN_S = 40.0, 300.0, 60.0, 15.0, 20.0
CONTROLS = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), "\ufffd")
AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, slots=True)
class ProcessState:
    """`state`: running, while anything of the process's group lives, or gone. `pid` None: it was
    never spawned."""

    name: str
    state: str
    pid: int | None


@dataclass(frozen=True, slots=True)
class HostState:
    """What a look at a host found. `agent`: alive or dead."""

    agent: str
    processes: tuple[ProcessState, ...]


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


class AgentLink(Protocol):
    """A connection to one agent. Losing it changes nothing there; attach again with the last `seq`
    seen."""

    def send(self, command: AgentCommand) -> None:
        """HostError when the connection is lost."""

    def events(self) -> Iterator[NumberedEvent]:
        """Past events first, then as they come; ends when the connection is lost or the agent
        quits."""

    def close(self) -> None:
        """Ends `events`, from another thread too."""


@dataclass(frozen=True, slots=True)
class AgentVerb:
    """A verb of the agent that does one thing and ends. `values` follow it; None: the host's folder
    of the run.

    `as_root`: by sudo, which must not ask for a password. How sudo fails is told by the answer.
    """

    verb: str
    values: tuple[str, ...] | None = None
    timeout_s: float = 30.0
    given: bytes = b""
    as_root: bool = False


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How it ended. `code` -1 is a signal."""

    code: int
    out: bytes
    err: bytes

    @property
    def last_words(self) -> str:
        """The last lines are what a user can act on; a traceback's first ones aren't.

        Without errors it is what stood in the answer's way: a shell's startup file may print.
        """
        lines = (self.err.strip() or self.out.strip()[-1000:]).decode(errors="replace").splitlines()
        return " | ".join(lines[-3:]) or f"it said nothing (exit status {self.code})"


class Transport(ABC):
    """The way to the agents of one run: a way to ask, to attach and to read logs; the rest is
    asking.

    All methods raise HostError, with a remedy.
    """

    @abstractmethod
    def ask(self, host: str, question: AgentVerb) -> CommandResult:
        """Run a verb of the agent. HostError: it can't be run there, or took too long."""

    @abstractmethod
    def attach(self, host: str, since: int) -> AgentLink:
        """Connect to a host's agent, for its events with a `seq` above `since`."""

    @abstractmethod
    def logs(self, host: str, follow: Callable[[], bool]) -> Iterator[tuple[str, str]]:
        """(process, text) of every log of the host, as long as `follow` says so, and once more
        after.

        Text is whole lines, many at once.
        """

    def close(self) -> None:  # noqa: B027 - not every transport keeps a connection
        """Drop what is kept open; the next question opens it again. Agents live on."""

    def give_up(self, hosts: Sequence[str]) -> tuple[str, ...]:
        """The run goes on without hosts that can't be reached. What there is to be told of that, in
        words."""
        return ()

    def start(self, plan: HostPlan, secrets: Mapping[str, str] = NO_SECRETS) -> None:
        """Start the agent of the plan's host, with its secrets by name. It starts nothing by
        itself."""
        answer = self.ask(
            plan.host, AgentVerb("start", timeout_s=START_S, given=render_start(plan, secrets))
        )
        if answer.code != 0:
            raise HostError(f"{plan.host}: the agent did not start: {answer.last_words}")

    def end(self, host: str) -> Gone:
        """End the agent and everything it started, also when the agent itself is dead. Nothing
        started: Gone(())."""
        answer = self.ask(host, AgentVerb("end", timeout_s=END_S))
        return _read(host, answer, parse_gone, "its processes may still run, ending them failed")

    def facts(self, host: str, wanted: FactsRequest) -> dict[str, Fact]:
        """What the host is like, and what it is asked beside: dsr1.hosts.agent.facts.

        Its clock's offset from ours, in seconds, is among it.
        """
        asked = time.time()
        answer = self.ask(host, AgentVerb("facts", (render_facts_request(wanted),), FACTS_S))
        answered = time.time()
        return _read(
            host, answer, lambda out: parse_facts(out, asked, answered), "its facts can't be read"
        )

    def runtime(self, host: str, question: RuntimeQuestion) -> RuntimeAnswer:
        """What the host's runtime knows, and what it says of commands. The first time takes an
        import of vLLM."""
        given = json.dumps(asdict(question)).encode()
        answer = self.ask(
            host, AgentVerb("runtime", (), question.timeout_s + RUNTIME_MARGIN_S, given)
        )
        return _read(host, answer, parse_runtime, "its runtime can't be asked")

    def reach(self, host: str, question: ReachQuestion) -> ReachAnswer:
        """Which peers the host reaches over TCP, while it listens for them in turn: to be asked of
        all at once."""
        given = json.dumps(asdict(question)).encode()
        answer = self.ask(host, AgentVerb("reach", (), question.window_s + REACH_MARGIN_S, given))
        return _read(host, answer, parse_reach, "it can't try its peers")

    def doors(self, host: str) -> tuple[Listener, ...]:
        """What listens where, as the host's kernel has it."""
        return _read(
            host, self.ask(host, AgentVerb("doors")), parse_listeners, "its sockets can't be read"
        )

    def look(self, host: str) -> HostState:
        """What runs, from the host's records. Disturbs nothing."""
        return _read(
            host, self.ask(host, AgentVerb("look")), parse_host_state, "its records can't be read"
        )


def _read(
    host: str, answer: CommandResult, parse: Callable[[bytes], AnswerT], otherwise: str
) -> AnswerT:
    """HostError with the agent's last words when it told something else."""
    try:
        return parse(answer.out)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise HostError(f"{host}: {otherwise}: {answer.last_words}") from error


def parse_runtime(text: bytes) -> RuntimeAnswer:
    return from_plain(RuntimeAnswer, json.loads(text))


def parse_reach(text: bytes) -> ReachAnswer:
    return from_plain(ReachAnswer, json.loads(text))


def parse_host_state(text: bytes) -> HostState:
    plain = json.loads(text)
    processes = (
        ProcessState(name, seen["state"], seen["pid"]) for name, seen in plain["processes"].items()
    )
    return HostState(plain["agent"], tuple(processes))


def parse_facts(text: bytes, asked: float, answered: float) -> dict[str, Fact]:
    """The clock's offset is to the middle of the round trip; `asked` and `answered` are seconds
    since the epoch."""
    facts = from_wire(clean(json.loads(text)) if b"\\u" in text else json.loads(text))
    now = facts["clock.now"].value
    offset = now - (asked + answered) / 2 if isinstance(now, float) else None
    # A slow answer says little of the clock: half the round trip is not known.
    sure = None if offset is None else max(0.0, abs(offset) - (answered - asked) / 2)
    return {**facts, "clock.offset": Fact(sure, "its clock against ours, less half the round trip")}


def clean(value: Any) -> Any:
    """What others chose (names of files, commands, variables) ends on a terminal: no lone
    surrogates, no controls."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode().translate(CONTROLS)
    if isinstance(value, list):
        return [clean(one) for one in value]
    return (
        {clean(name): clean(one) for name, one in value.items()}
        if isinstance(value, dict)
        else value
    )


def parse_listeners(text: bytes) -> tuple[Listener, ...]:
    return tuple(
        Listener(str(process), str(address), int(port))
        for process, address, port in json.loads(text)
    )
