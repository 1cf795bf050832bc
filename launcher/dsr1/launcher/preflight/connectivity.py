"""`net.reach`: TCP between the leader and every other host, both ways, on the addresses and ports
of the plan."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TypeGuard

from dsr1.hosts.errors import HostError
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.facts.fact import Fact, Facts
from dsr1.hosts.protocol.plain import from_plain
from dsr1.hosts.protocol.reach import ReachAnswer, ReachPeer, ReachQuestion
from dsr1.hosts.transport.base import Transport
from dsr1.hosts.transport.parallel import begin_in_thread
from dsr1.hosts.transport.results import FactsByHost
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.preflight.draft import Draft

CHECK = "net.reach"
WINDOW_S, SLOWER_S = 8.0, 0.05  # more hosts take longer until the last of them listens
WANTED = "TCP both ways between the leader and every host"
FIX = (
    "Let all TCP pass between the hosts on the control network: NCCL, gloo and vLLM use ports of"
    " the kernel's choice."
)
PORT_FIX = "Something listens there; see net.ports_free."


def begin_connectivity(transport: Transport, draft: Draft) -> "ConnectivityProbe | None":
    """None: there are no two hosts to try, or they can't hold the plan, which says so itself."""
    questions = {} if draft.problem else make_reach_questions(draft.plan, draft.hosts)
    return ConnectivityProbe(transport, questions) if len(questions) > 1 else None


def make_reach_questions(plan: Plan, hosts: Sequence[Host]) -> dict[str, ReachQuestion]:
    """The first host tries all others, and each of them tries it. Hosts without a known address are
    left out."""
    peers = [
        ReachPeer(host.name, host.address, port)
        for host in hosts
        if host.interface and (port := port_of(plan, host))
    ]
    if not peers or peers[0].name != hosts[0].name:
        return {}
    leader, *others = peers
    window = WINDOW_S + SLOWER_S * len(others)
    mine = {other.name: ReachQuestion(other, (leader,), window_s=window) for other in others}
    return {leader.name: ReachQuestion(leader, tuple(others), window_s=window), **mine}


def port_of(plan: Plan, host: Host) -> int:
    """One that the plan binds there anyway; 0: it binds none."""
    for own in plan.hosts:
        if own.host == host.name:
            return next((port for process in own.processes for port in process.ports), 0)
    return 0


class ConnectivityProbe:
    """On all hosts at once, each in a thread: the one that comes last must still find the others
    listening.

    After the facts: what listens here to be tried would be among the ports that are held there.
    """

    def __init__(self, transport: Transport, questions: Mapping[str, ReachQuestion]) -> None:
        self._asks = {
            host: partial(_ask, transport, host, question) for host, question in questions.items()
        }

    def join(self, facts_by_host: FactsByHost) -> dict[str, Facts | HostError]:
        """The facts, with what each host that was asked reached."""
        begun = {host: begin_in_thread(ask) for host, ask in self._asks.items()}
        answers = {host: one.result() for host, one in begun.items()}
        return {host: _with(facts, answers.get(host)) for host, facts in facts_by_host.items()}


def _ask(transport: Transport, host: str, question: ReachQuestion) -> Fact:
    try:
        return Fact(asdict(transport.try_peers(host, question)), "connections tried")
    except HostError as error:
        return Fact(None, "connections tried", str(error))


def _with(facts: Facts | HostError, answer: Fact | None) -> Facts | HostError:
    return facts if isinstance(facts, HostError) or answer is None else {**facts, CHECK: answer}


def judge_connectivity(hosts: Sequence[Host], facts_by_host: FactsByHost) -> Iterator[Finding]:
    """A finding for each host but the leader, which is named in it, and for each direction that is
    shut."""
    answers = {
        host: reach_answer(facts) for host, facts in facts_by_host.items() if was_asked(facts)
    }
    leader, *others = hosts
    of_leader = answers.get(leader.name, ReachAnswer())
    there = f"does not reach {leader.name} ({leader.address})"
    for host in others:
        if host.name not in answers:
            continue
        rows = [*_row(answers[host.name], leader.name, there)]
        rows += _row(of_leader, host.name, f"is not reached by {leader.name}")
        for row in rows or [("PASS", "both ways", WANTED, "")]:
            yield Finding(host.name, CHECK, *row)


def was_asked(facts: Facts | HostError) -> TypeGuard[Facts]:
    return not isinstance(facts, HostError) and CHECK in facts


def reach_answer(facts: Facts) -> ReachAnswer:
    fact = facts[CHECK]
    try:
        answer: ReachAnswer = from_plain(ReachAnswer, fact.value)
    except ValueError as error:
        return ReachAnswer(problem=fact.problem or str(error))
    return answer


def _row(answer: ReachAnswer, peer: str, what: str) -> Iterator[tuple[str, str, str, str]]:
    """Nothing where it was reached."""
    if answer.problem:
        yield ("UNKNOWN", answer.problem, WANTED, PORT_FIX)
        return
    problem = next(
        (reached.problem for reached in answer.reached if reached.peer == peer), "it was not tried"
    )
    if problem:
        yield ("FAIL", f"{what}: {problem}", WANTED, FIX)
