"""The runtimes of hosts are asked while their facts are gathered: one host first, then one for each
other runtime."""

from collections.abc import Mapping, Sequence

from dsr1.hosts.errors import HostError, InputError
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.fact import Fact, Facts
from dsr1.hosts.protocol.runtime import RuntimeQuestion
from dsr1.hosts.transport.base import Transport
from dsr1.hosts.transport.parallel import begin_in_thread, run_parallel
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.plan.runtime_knowledge import RUNTIME, runtime_fact
from dsr1.launcher.preflight.runtime_question import make_question
from dsr1.launcher.recipe.models import Recipe

DECISIVE = ("vllm", "ai-dynamo", "ai-dynamo-runtime", "torch")


def begin_runtime_probe(
    transport: Transport, recipe: Recipe, hosts: Sequence[Host], first: str
) -> "RuntimeProbe":
    """About the plan on these hosts; `first` is what the transport calls the one that is asked at
    once."""
    try:
        question = make_question(recipe, make_plan(recipe, hosts, "asked", "asked"))
    except InputError as error:  # a plan says so itself; here it is a reason not to know
        return RuntimeProbe(transport, error, first)
    return RuntimeProbe(transport, question, first)


class RuntimeProbe:
    """Begins at once; `join` waits for the answer, and asks on where the facts tell of another
    runtime."""

    def __init__(
        self, transport: Transport, question: RuntimeQuestion | InputError, first: str
    ) -> None:
        self._transport, self._question, self._first = transport, question, first
        self._begun = begin_in_thread(lambda: self._ask_one(first))

    def join(self, told: Mapping[str, Facts | HostError]) -> dict[str, Facts | HostError]:
        """The facts, and among those of one host for each runtime what that told."""
        others = [host for host in one_of_each(told, self._first) if host != self._first]
        answers = {
            **run_parallel(self._ask_one, {host: host for host in others}),
            self._first: self._begun.result(),
        }
        return {host: _with(facts, answers.get(host)) for host, facts in told.items()}

    def _ask_one(self, host: str) -> Fact:
        if isinstance(self._question, InputError):
            return runtime_fact(self._question)
        try:
            return runtime_fact(self._transport.ask_runtime(host, self._question))
        except HostError as error:
            return runtime_fact(error)


def _with(facts: Facts | HostError, answer: Fact | HostError | None) -> Facts | HostError:
    return (
        facts
        if isinstance(facts, HostError) or not isinstance(answer, Fact)
        else {**facts, RUNTIME: answer}
    )


def one_of_each(told: Mapping[str, Facts | HostError], first: str) -> list[str]:
    """The first host, and one for each set of versions that isn't the first's."""
    seen: dict[tuple[str, ...], str] = {}
    for host in (first, *told):
        facts = told.get(host)
        if facts is not None and not isinstance(facts, HostError):
            seen.setdefault(versions(facts), host)
    return list(seen.values())


def versions(facts: Facts) -> tuple[str, ...]:
    software = facts["software"].value if "software" in facts else None
    return tuple(str(software.get(name)) for name in DECISIVE) if isinstance(software, dict) else ()
