"""The adapters that a host's processes will use, chosen once for all checks that judge them; and
how a check of adapters is written."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from dsr1.env.checks.judging import (
    NONSENSE,
    CheckFunction,
    UnknownFact,
    Verdict,
    describe_nonsense,
    known,
    skipped,
)
from dsr1.env.checks.requirements import Requirements
from dsr1.env.fabric import parse_fabric
from dsr1.env.gids import ETHERNET, is_ethernet
from dsr1.env.hca import Hca
from dsr1.env.hcas import Selection, choose_hcas
from dsr1.hosts.protocol.facts.fact import Facts

NO_TRAFFIC = "the plan sends nothing from GPUs to other hosts"
NONE_CHOSEN = "no adapter is chosen: see ib.present"
INSPECT_LINK = "Inspect its cable, optics and switch port."
AdapterCheck = Callable[[Sequence[Hca], Selection], Verdict]


def select(requirements: Requirements, facts: Facts) -> Requirements:
    """What the plan asks of this host, with its adapters chosen, or why they can't be."""
    selection: Selection | str | None = None
    try:
        if requirements.rdma:
            selection = _select(facts, requirements.hca)
    except UnknownFact as error:
        selection = str(error)
    except NONSENSE as error:
        selection = describe_nonsense(error)
    return replace(requirements, selection=selection)


def _select(facts: Facts, hca: Sequence[str]) -> Selection:
    known(facts, "ib.devices")
    fabric = parse_fabric(facts)
    assert fabric is not None
    return Selection(fabric, choose_hcas(fabric, hca))


def selected(requirements: Requirements) -> Selection:
    """UnknownFact: why no adapters could be chosen."""
    if not isinstance(requirements.selection, Selection):
        raise UnknownFact(requirements.selection or "no adapters were looked for")
    return requirements.selection


def for_rdma(judge: CheckFunction) -> CheckFunction:
    """Skipped where GPUs send nothing to other hosts."""

    def judge_with_traffic(facts: Facts, requirements: Requirements) -> Verdict:
        return judge(facts, requirements) if requirements.rdma else skipped(NO_TRAFFIC)

    return judge_with_traffic


def for_chosen(judge: Callable[[Facts, Selection], Verdict]) -> CheckFunction:
    """Skipped where no adapter is chosen, too."""

    def judge_chosen(facts: Facts, requirements: Requirements) -> Verdict:
        selection = selected(requirements)
        return judge(facts, selection) if selection.choice.hcas else skipped(NONE_CHOSEN)

    return for_rdma(judge_chosen)


def for_ports(judge: AdapterCheck, link_layer: str = "") -> CheckFunction:
    """For a judge of the chosen ports; of those of one link layer, where one is given."""

    def judge_ports(facts: Facts, selection: Selection) -> Verdict:
        ports = selection.choice.hcas
        if link_layer:
            ethernet = link_layer == ETHERNET
            ports = tuple(hca for hca in ports if is_ethernet(hca) == ethernet)
        return judge(ports, selection) if ports else skipped(f"no {link_layer} port is chosen")

    return for_chosen(judge_ports)


def require_known(values: Iterable[object], what: str) -> None:
    """Nothing can be said of a value that could not be read."""
    if any(value is None or value == "" for value in values):
        raise UnknownFact(f"{what} can't be read")
