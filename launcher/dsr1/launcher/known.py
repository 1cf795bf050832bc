"""What the runtime of a plan's hosts knows, as a fact of the hosts that were asked, and processes without the rest."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace

from dsr1.env.retired import VARIABLES
from dsr1.hosts.errors import Dsr1Error
from dsr1.hosts.facts.fact import Fact, Facts
from dsr1.hosts.process import Process, Variable
from dsr1.hosts.runtime import RuntimeAnswer
from dsr1.hosts.wire import from_plain

RUNTIME = "runtime"
"""The name of the fact; hosts whose runtime is the same as an asked one's don't have it."""
SOURCE = "the runtime's own parsers"


def runtime_fact(told: RuntimeAnswer | Dsr1Error) -> Fact:
    if isinstance(told, Dsr1Error):
        return Fact(None, SOURCE, str(told))
    return Fact(asdict(told), SOURCE)


def runtime_answer(fact: Fact) -> RuntimeAnswer:
    """Nothing known, and why, where it couldn't be asked."""
    if fact.value is None:
        return RuntimeAnswer(problem=fact.problem)
    try:
        answer: RuntimeAnswer = from_plain(RuntimeAnswer, fact.value)
    except ValueError as error:
        return RuntimeAnswer(problem=str(error))
    return answer


def runtime_answers(facts: Mapping[str, Facts]) -> dict[str, RuntimeAnswer]:
    """By host, of those that were asked."""
    return {host: runtime_answer(told[RUNTIME]) for host, told in facts.items() if RUNTIME in told}


def knows(answer: RuntimeAnswer, name: str) -> bool:
    """vLLM tells all of its own variables; of Dynamo's only the retired are known to be none."""
    if name.startswith("VLLM_"):
        return not answer.variables or name in answer.variables
    return name not in VARIABLES


def is_asked_for(variable: Variable) -> bool:
    """Whether the recipe names it; else dsr1 adds it by itself."""
    return variable.source.startswith("recipe ") and variable.source.endswith(".env")


def leave_out(processes: Sequence[Process], answers: Iterable[RuntimeAnswer]) -> tuple[Process, ...]:
    """Without the variables that dsr1 adds by itself and that some host's runtime doesn't know."""
    known = tuple(answers)

    def stays(variable: Variable) -> bool:
        return is_asked_for(variable) or all(knows(answer, variable.name) for answer in known)

    return tuple(replace(process, env=tuple(filter(stays, process.env))) for process in processes)


def left_out(before: Sequence[Process], after: Sequence[Process]) -> Iterator[str]:
    """A note for each variable that is gone."""
    gone = {v for old, new in zip(before, after, strict=True) for v in old.env if v not in new.env}
    for v in sorted({(v.name, v.source) for v in gone}):
        yield f"{v[0]} ({v[1]}) is left out: the runtime does not know it"
