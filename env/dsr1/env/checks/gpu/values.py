"""One GPU's values by NVML, and how a check of each GPU is written."""

from collections.abc import Callable, Mapping
from typing import Any

from dsr1.env.checks.judging import NONSENSE, CheckFunction, UnknownFact, Verdict, for_gpus, known
from dsr1.env.checks.kinds import GPU_KINDS
from dsr1.env.checks.requirements import Requirements
from dsr1.env.findings import ORDER
from dsr1.hosts.inventory.names import fold_numbers
from dsr1.hosts.protocol.facts.fact import Facts

GIB = 2**30

GpuProblem = tuple[str, str]
"""A verdict, and what is wrong with a GPU: a phrase that follows its number."""


class NvmlValues:
    """What NVML read of a GPU, a link or the system; a missing value raises UnknownFact, with
    NVML's own reason."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Any:
        value = self._values.get(name)
        if value is None:
            reason = self._values.get("problems", {}).get(name, "NVML has no value")
            raise UnknownFact(f"{name}: {reason}")
        if name in GPU_KINDS and not GPU_KINDS[name](value):
            raise UnknownFact(f"{name}: the value makes no sense: {str(value)[:80]}")
        return value


def planned_gpus(facts: Facts, requirements: Requirements) -> list[NvmlValues]:
    """Those that the plan takes; too few are gpu.count's concern. UnknownFact: NVML lists none."""
    gpus: list[dict[str, Any]] = known(facts, "gpu.devices")
    if not gpus:
        raise UnknownFact("NVML lists no GPU")
    return [NvmlValues(gpu) for gpu in gpus[: requirements.gpus]]


def fail(text: str) -> GpuProblem:
    return "FAIL", text


def warn(text: str) -> GpuProblem:
    return "WARN", text


def each_gpu(
    problem_of: Callable[[NvmlValues], GpuProblem | None], wanted: str, fix: str
) -> CheckFunction:
    """For a problem that can be seen on one GPU alone."""

    def judge(facts: Facts, requirements: Requirements) -> Verdict:
        return judge_gpus(problem_of, planned_gpus(facts, requirements), wanted, fix)

    return for_gpus(judge)


def judge_gpus(
    problem_of: Callable[[NvmlValues], GpuProblem | None],
    gpus: list[NvmlValues],
    wanted: str,
    fix: str,
) -> Verdict:
    """The worst of all; where no GPU has a problem, one that can't be judged leaves the check
    UNKNOWN."""
    problems: dict[int, str] = {}
    unknown: dict[int, str] = {}
    verdicts = set()
    for index, gpu in enumerate(gpus):
        try:
            if problem := problem_of(gpu):
                verdicts.add(problem[0])
                problems[index] = problem[1]
        except UnknownFact as error:
            unknown[index] = str(error)
        except NONSENSE as error:
            unknown[index] = f"a value makes no sense: {error!r}"
    if problems:
        return Verdict(min(verdicts, key=ORDER.index), fold_gpus(problems), wanted, fix)
    if unknown:
        raise UnknownFact(fold_gpus(unknown))
    return Verdict("PASS", wanted, wanted)


def fold_gpus(texts: Mapping[int, str]) -> str:
    """`GPU 0-3,7 has ...; GPU 5 is ...`: equal texts once."""
    indices: dict[str, list[int]] = {}
    for index, text in texts.items():
        indices.setdefault(text, []).append(index)
    return "; ".join(f"GPU {fold_numbers(numbers)} {text}" for text, numbers in indices.items())
