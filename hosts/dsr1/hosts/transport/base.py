"""How the agents are reached: what every transport (local, SSH, srun) offers to the launching
side."""

import contextlib
import json
import time
import types
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import MOST_WORDS, BadAnswer, HostError
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.protocol.bounded import NONSENSE
from dsr1.hosts.protocol.codec import NumberedEvent, StartOrder, parse_gone, render_start
from dsr1.hosts.protocol.commands import AgentCommand
from dsr1.hosts.protocol.events import Gone
from dsr1.hosts.protocol.evidence import EvidenceRequest, HostEvidence
from dsr1.hosts.protocol.facts.fact import Fact
from dsr1.hosts.protocol.facts.request import FactsRequest, render_facts_request
from dsr1.hosts.protocol.jobs.messages import JobLost, OnJobMessage, read_job, render_order
from dsr1.hosts.protocol.jobs.orders import Job, OrderT, ResultT
from dsr1.hosts.protocol.plain import parse_json, to_json
from dsr1.hosts.protocol.process import HostPlan
from dsr1.hosts.protocol.reach import ReachAnswer, ReachQuestion
from dsr1.hosts.protocol.runtime import RuntimeAnswer, RuntimeQuestion
from dsr1.hosts.transport.as_root import AS_SELF
from dsr1.hosts.transport.results import (
    HostIntroduction,
    HostRun,
    HostState,
    Listener,
    clock_ahead,
    parse_facts,
    parse_host_runs,
    parse_host_state,
    parse_introduction,
    parse_listeners,
    parse_names,
    parse_texts,
)

NO_SECRETS: Mapping[str, str] = types.MappingProxyType({})
# The agent bounds `stop` itself, by the longest grace of the plan; this is for an agent that hangs.
EVIDENCE_S = 30.0  # of a hang: whoever asks of a death waits for less
START_S, STOP_S, FACTS_S, RUNTIME_MARGIN_S, REACH_MARGIN_S = 40.0, 300.0, 60.0, 15.0, 20.0
NOT_STOPPED = "its processes may still run, since stopping them failed"
NOT_READ = "its processes can't be read"
MOST_ANSWER = 32 << 20  # bytes
MOST_ERRORS = 1 << 20
AnswerT = TypeVar("AnswerT")


class AgentLink(Protocol):
    """A connection to one agent. Losing it changes nothing there; attach again with the last `seq`
    that came."""

    def send(self, command: AgentCommand) -> None:
        """HostError when the connection is lost."""

    def events(self) -> Iterator[NumberedEvent]:
        """Past events first, then as they come; ends when the connection is lost or the agent
        quits."""

    def close(self) -> None:
        """Ends `events`, from another thread too."""


@dataclass(frozen=True, slots=True)
class AgentVerb:
    """A verb of the agent that does one thing and ends. `values` follow its name; None: which agent
    it is for, that is its folder, the run's identity and the host. `more` comes last.

    `by` is AS_ROOT for root, by sudo, which must not ask for a password (where sudo fails, the
    result has its words), and CAREFULLY for whoever we are: as root both run root's own files
    alone, see as_root.py. `most`: bytes that its answer may have.
    """

    name: str
    values: tuple[str, ...] | None = None
    timeout_s: float = 30.0
    stdin: bytes = b""
    by: str = AS_SELF
    more: tuple[str, ...] = ()
    most: int = MOST_ANSWER


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How it ended. `code` -1 is a signal."""

    code: int
    out: bytes
    err: bytes

    @property
    def last_lines(self) -> str:
        """The last lines are what a user can act on; a traceback's first ones aren't.

        Without errors those of the output, which can't be read then: a shell's startup file may
        print.
        """
        words = self.err[-MOST_ERRORS:].strip() or self.out[-1000:].strip()
        lines = words.decode(errors="replace").splitlines()[-3:]
        return " | ".join(lines)[-MOST_WORDS:] or f"no output (exit status {self.code})"


def read_answer(
    host: str, result: CommandResult, parse: Callable[[bytes], AnswerT], problem: str
) -> AnswerT:
    """What an agent's verb printed. HostError, with its last lines, where it failed; BadAnswer
    where it did not, and printed something else than it was asked for."""
    try:
        return parse(result.out)
    except NONSENSE as error:
        if result.code != 0:
            raise HostError(f"{host}: {problem}: {result.last_lines}") from error
        raise BadAnswer(host, f"{problem}: {error}: {result.last_lines}") from error


@dataclass(frozen=True, slots=True)
class JobStream:
    """The stdin of a job that runs, and its stdout. OSError: the connection is lost."""

    send: Callable[[bytes], object]
    blocks: Iterator[bytes]


class Transport(ABC):
    """Reaches the agents of one run. All methods raise HostError, with a remedy.

    A transport has four ways to reach an agent: run a verb, attach, read logs, open a job. The rest
    is built on these.
    """

    @abstractmethod
    def run_verb(self, host: str, verb: AgentVerb) -> CommandResult:
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

    @abstractmethod
    def open_job(self, host: str, job: str) -> AbstractContextManager[JobStream]:
        """Start a job of the agent, for as long as the block lasts."""

    def close(self) -> None:  # noqa: B027 - not every transport keeps a connection
        """Drop what is kept open, jobs too; the next question opens it again. Agents live on."""

    def reach(self, accesses: Sequence[Access]) -> None:  # noqa: B027 - most need nothing
        """These are hosts of the run, too, from now on."""

    def give_up(self, hosts: Sequence[str]) -> tuple[str, ...]:
        """The run goes on without hosts that can't be reached. Notes for the user."""
        return ()

    def introduce(self, host: str, peer: str) -> HostIntroduction:
        """Who the host is, and its address towards `peer`; empty: where it was reached. HostError:
        an agent can't run there."""
        verb = AgentVerb("introduce", (peer,))
        return self._ask(host, verb, parse_introduction, "its agent can't run")

    def start(
        self,
        plan: HostPlan,
        secrets: Mapping[str, str] = NO_SECRETS,
        kept: Mapping[str, str] = NO_SECRETS,
    ) -> None:
        """Start the agent of the plan's host, with its secrets by name, and files of the run that
        it keeps. It starts nothing by itself."""
        order = render_start(StartOrder(plan, secrets, kept))
        verb = AgentVerb("start", timeout_s=START_S, stdin=order)
        result = self.run_verb(plan.host, verb)
        if result.code != 0:
            raise HostError(f"{plan.host}: the agent did not start: {result.last_lines}")

    def stop(self, host: str, reason: str = "") -> Gone:
        """Stop the agent and everything it started, also when the agent itself is dead. Nothing
        started: Gone(()). `reason` goes into the agent's events."""
        verb = AgentVerb("stop", timeout_s=STOP_S, more=(reason,))
        return self._ask(host, verb, parse_gone, NOT_STOPPED)

    def inspect(self, host: str) -> HostState:
        """What runs, from the host's processes. Disturbs nothing."""
        return self._ask(host, AgentVerb("inspect"), parse_host_state, NOT_READ)

    def stop_found(self, host: str, found: HostRun, reason: str) -> Gone:
        """As `stop`, of a run that was found on the host, whichever this transport is for."""
        values = (found.folder, found.run_id, found.host)
        verb = AgentVerb("stop", values, STOP_S, more=(reason,))
        return self._ask(host, verb, parse_gone, NOT_STOPPED)

    def kept_files(self, host: str, found: HostRun) -> dict[str, str]:
        """The files of a run that the host's agent keeps, by name; none on most hosts."""
        values = (found.folder, found.run_id, found.host)
        problem = "what it keeps of the run can't be read"
        return self._ask(host, AgentVerb("kept", values), parse_texts, problem)

    def keep_files(self, host: str, files: Mapping[str, str]) -> None:
        """They have changed: these are what the host's agent keeps from now on."""
        verb = AgentVerb("keep-files", stdin=json.dumps(dict(files)).encode())
        self._ask(host, verb, parse_names, "what it keeps of the run can't be written")

    def own_words(self, host: str) -> dict[str, str]:
        """The ends of its agent's events and log, by the file's name."""
        problem = "its agent's events and log can't be read"
        return self._ask(host, AgentVerb("own-words"), parse_texts, problem)

    def runs(self, host: str) -> tuple[HostRun, ...]:
        """Every run of this user that something lives of on the host."""
        return self._ask(host, AgentVerb("runs", ()), parse_host_runs, NOT_READ)

    def listeners(self, host: str) -> tuple[Listener, ...]:
        """What listens where, as the host's kernel has it."""
        return self._ask(host, AgentVerb("listeners"), parse_listeners, "its sockets can't be read")

    def gather_evidence(self, host: str, request: EvidenceRequest) -> HostEvidence:
        """What the host shows of a failure; to be asked before anything on it is ended. HostError:
        it can't be reached."""
        asked = time.time()

        def parse(text: bytes) -> HostEvidence:
            evidence = parse_json(HostEvidence, text)
            ahead_s = clock_ahead(evidence.now, asked, time.time())
            return replace(evidence, host=host, ahead_s=ahead_s)

        result = self.run_verb(host, AgentVerb("evidence", None, EVIDENCE_S, to_json(request)))
        try:
            return parse(result.out)
        except NONSENSE:
            return HostEvidence(host, problems=(f"it gives none: {result.last_lines}",))

    def gather_facts(self, host: str, request: FactsRequest) -> dict[str, Fact]:
        """See dsr1.hosts.agent.facts. Its clock's offset from ours, in seconds, is among them."""
        asked = time.time()

        def parse(text: bytes) -> dict[str, Fact]:
            return parse_facts(text, asked, time.time())

        verb = AgentVerb("facts", (render_facts_request(request),), FACTS_S)
        return self._ask(host, verb, parse, "its facts can't be read")

    def ask_runtime(self, host: str, question: RuntimeQuestion) -> RuntimeAnswer:
        """What the host's runtime knows, and how it judges commands. The first time takes an import
        of vLLM."""
        timeout_s = question.timeout_s + RUNTIME_MARGIN_S
        verb = AgentVerb("runtime", (), timeout_s, to_json(question))
        parse = partial(parse_json, RuntimeAnswer)
        return self._ask(host, verb, parse, "its runtime can't be asked")

    def try_peers(self, host: str, question: ReachQuestion) -> ReachAnswer:
        """Which peers the host reaches over TCP, while it listens for them in turn: to be asked of
        all at once."""
        timeout_s = question.window_s + REACH_MARGIN_S
        verb = AgentVerb("reach", (), timeout_s, to_json(question))
        parse = partial(parse_json, ReachAnswer)
        return self._ask(host, verb, parse, "it can't try its peers")

    def run_job(
        self, host: str, job: Job[OrderT, ResultT], order: OrderT, on_message: OnJobMessage
    ) -> ResultT:
        """Raises JobRefused as the job does. `close`, from another thread too, ends it."""
        with self.open_job(host, job.name) as stream:
            try:
                with contextlib.suppress(BrokenPipeError):  # then its output says why
                    stream.send(render_order(order))
                return read_job(job, stream.blocks, on_message, stream.send)
            except JobLost as error:
                raise HostError(f"{host}: its agent ended before its job: {error}") from None
            except ValueError as error:
                raise BadAnswer(host, error) from None
            except OSError as error:
                why = str(error) or "it fell silent"
                raise HostError(f"{host}: lost during its job ({why})") from error

    def _ask(
        self, host: str, verb: AgentVerb, parse: Callable[[bytes], AnswerT], problem: str
    ) -> AnswerT:
        return read_answer(host, self.run_verb(host, verb), parse, problem)
