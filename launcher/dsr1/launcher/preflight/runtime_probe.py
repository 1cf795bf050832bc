"""The runtimes of hosts are asked while their facts are gathered: one host first, then one for each
other runtime."""

from dsr1.env.versions import installed_packages
from dsr1.hosts.errors import HostError, InputError
from dsr1.hosts.protocol.facts.fact import Fact, Facts
from dsr1.hosts.protocol.runtime import RuntimeQuestion
from dsr1.hosts.transport.base import Transport
from dsr1.hosts.transport.parallel import begin_in_thread, run_on_all
from dsr1.hosts.transport.results import FactsByHost
from dsr1.launcher.commands.dynamo_versions import RUNTIME
from dsr1.launcher.plan.runtime_knowledge import runtime_fact
from dsr1.launcher.preflight.draft import Draft
from dsr1.launcher.preflight.runtime_question import make_question

DECISIVE = ("vllm", "ai-dynamo", "ai-dynamo-runtime", "torch")


def begin_runtime_probe(transport: Transport, draft: Draft, first: str) -> "RuntimeProbe":
    """`first` is what the transport calls the host that is asked at once."""
    if draft.problem:  # a plan says so itself; here it is a reason not to know
        return RuntimeProbe(transport, InputError(draft.problem), first)
    return RuntimeProbe(transport, make_question(draft.recipe, draft.plan), first)


class RuntimeProbe:
    """Begins at once; `join` waits for the answer, and asks on where the facts show another
    runtime."""

    def __init__(
        self, transport: Transport, question: RuntimeQuestion | InputError, first: str
    ) -> None:
        self._transport, self._question, self._first = transport, question, first
        self._first_answer = begin_in_thread(lambda: self._ask_one(first))

    def join(self, facts_by_host: FactsByHost) -> dict[str, Facts | HostError]:
        """The facts, and in those of one host of each runtime what that answered."""
        others = [host for host in one_of_each(facts_by_host, self._first) if host != self._first]
        answers = {
            **run_on_all(self._ask_one, others),
            self._first: self._first_answer.result(),
        }
        return {host: _with(facts, answers.get(host)) for host, facts in facts_by_host.items()}

    def _ask_one(self, host: str) -> Fact:
        if isinstance(self._question, InputError):
            return runtime_fact(self._question)
        try:
            return runtime_fact(self._transport.ask_runtime(host, self._question))
        except HostError as error:
            return runtime_fact(error)


def _with(facts: Facts | HostError, answer: Fact | HostError | None) -> Facts | HostError:
    if isinstance(facts, HostError) or not isinstance(answer, Fact):
        return facts
    return {**facts, RUNTIME: answer}


def one_of_each(facts_by_host: FactsByHost, first: str) -> list[str]:
    """The first host, and one for each set of versions that isn't the first's."""
    by_versions: dict[tuple[str, ...], str] = {}
    for host in (first, *facts_by_host):
        facts = facts_by_host.get(host)
        if facts is not None and not isinstance(facts, HostError):
            by_versions.setdefault(versions(facts), host)
    return list(by_versions.values())


def versions(facts: Facts) -> tuple[str, ...]:
    software = installed_packages(facts)
    return tuple(str(software.get(name)) for name in DECISIVE) if software else ()
