"""What the runtime of a plan's hosts knows, as a fact of the hosts that were asked, and processes
without the rest. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace

from dsr1.env.retired import VARIABLES
from dsr1.env.versions import version_numbers
from dsr1.hosts.errors import Dsr1Error
from dsr1.hosts.protocol.facts.fact import Fact, Facts
from dsr1.hosts.protocol.plain import from_plain
from dsr1.hosts.protocol.process import Process, Variable
from dsr1.hosts.protocol.runtime import RuntimeAnswer
from dsr1.launcher.commands.dynamo_versions import RUNTIME

SOURCE = "the runtime's own parsers"


def runtime_fact(answer: RuntimeAnswer | Dsr1Error) -> Fact:
    if isinstance(answer, Dsr1Error):
        return Fact(None, SOURCE, str(answer))
    return Fact(asdict(answer), SOURCE)


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
    return {host: runtime_answer(own[RUNTIME]) for host, own in facts.items() if RUNTIME in own}


def knows(answer: RuntimeAnswer, name: str) -> bool:
    """vLLM lists all of its own variables; of Dynamo's only the retired are known to be none."""
    if name.startswith("VLLM_"):
        return not answer.variables or name in answer.variables
    return name not in VARIABLES


FILE_STORES = (0, 31)
"""vLLM's executors meet by a file from then on (get_file_store_init_method); before, each rank's
picks a port."""


def picks_ports_once(answers: Iterable[RuntimeAnswer]) -> bool:
    """Whether ranks of one process don't pick the same port at the same time; true where no version
    is known, since Dynamo asks for one that doesn't."""
    return all(not answer.vllm or version_numbers(answer.vllm) >= FILE_STORES for answer in answers)


def is_asked_for(variable: Variable) -> bool:
    """Whether the recipe names it; else dsr1 adds it by itself."""
    return variable.source.startswith("recipe ") and variable.source.endswith(".env")


def drop_unknown(
    processes: Sequence[Process], answers: Iterable[RuntimeAnswer]
) -> tuple[tuple[Process, ...], tuple[str, ...]]:
    """Without what dsr1 adds by itself and some host's runtime doesn't know; and a note for all
    that it doesn't."""
    unknown = _unknown(processes, tuple(answers))
    names = {variable.name for variable in unknown if not is_asked_for(variable)}
    kept = (_without(process, names) for process in processes) if names else processes
    return tuple(kept), tuple(map(_note, unknown))


def _unknown(processes: Sequence[Process], answers: Sequence[RuntimeAnswer]) -> list[Variable]:
    """One of each name, and one more where the recipe names it."""
    every = {(v.name, is_asked_for(v)): v for process in processes for v in process.env}
    return [v for v in every.values() if not all(knows(answer, v.name) for answer in answers)]


def _without(process: Process, names: Collection[str]) -> Process:
    kept = tuple(v for v in process.env if v.name not in names or is_asked_for(v))
    return replace(process, env=kept)


def _note(variable: Variable) -> str:
    what = "`dsr1 check --only sw` says what to write" if is_asked_for(variable) else "left out"
    return f"{variable.name} ({variable.source}): the runtime does not know it, {what}"
