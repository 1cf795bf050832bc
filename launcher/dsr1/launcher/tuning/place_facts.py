"""What the hosts say of themselves before anything is tried on them: their GPUs, and the versions
that results hang on."""

from collections.abc import Iterator, Mapping, Sequence

from dsr1.env.versions import installed_packages
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.protocol.facts.fact import Facts, value_of
from dsr1.hosts.transport.parallel import raise_all
from dsr1.launcher.batch.allocated import survey_lent
from dsr1.launcher.preflight.survey import survey_any
from dsr1.launcher.recipe.models import Recipe
from dsr1.slurm.allocation import Allocation

USUAL = "h200"
_PACKAGES = ("vllm", "ai-dynamo", "torch")


@dataclass(frozen=True, slots=True)
class PlaceFacts:
    """`gpu`: h100 or h200."""

    gpu: str
    versions: tuple[str, ...]


def look_at_place(
    recipe: Recipe, accesses: Sequence[Access], allocation: Allocation | None = None
) -> PlaceFacts:
    """HostError: a host can't be reached. InputError: the allocation is over."""
    if allocation:
        return judge_place([*survey_lent(recipe, allocation, ()).facts.values()])
    facts = raise_all(survey_any(recipe, accesses, ()).facts_of_hosts)
    return judge_place([*facts.values()])


def judge_place(facts: Sequence[Facts]) -> PlaceFacts:
    """Of several kinds the smaller. Pure."""
    names = [name.lower() for one in facts for name in _gpu_names(one)]
    gpu = "h100" if any("h100" in name for name in names) else USUAL
    versions = sorted({line for one in facts for line in _versions(one)})
    return PlaceFacts(gpu, (*sorted(set(names)), *versions))


def _gpu_names(facts: Facts) -> Iterator[str]:
    devices = value_of(facts, "gpu.devices")
    rows = devices if isinstance(devices, list) else []
    yield from (str(one.get("name")) for one in rows if isinstance(one, Mapping))


def _versions(facts: Facts) -> Iterator[str]:
    found = installed_packages(facts)
    yield from (f"{name} {found[name]}" for name in _PACKAGES if found.get(name))
