"""The adapters that a host's processes will use, chosen once for all checks that judge them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dsr1.env.checks.judging import NONSENSE, Requirements, UnknownFact, known
from dsr1.env.distance import Distance, distance
from dsr1.env.fabric import FabricFacts, parse_fabric
from dsr1.env.hcas import Hca, HcaChoice, choose_hcas
from dsr1.hosts.protocol.fact import Facts


@dataclass(frozen=True, slots=True)
class Selection:
    """What there is, and what is chosen of it."""

    fabric: FabricFacts
    choice: HcaChoice

    @property
    def lagging(self) -> list[Hca]:
        """Ports that are the chosen ones' like and as near to a GPU as its own, but were passed
        over."""
        kinds = {(hca.adapter.model, hca.adapter.driver) for hca in self.choice.hcas}
        others = (hca for hca, _ in self.choice.passed_over)
        return [
            hca
            for hca in others
            if (hca.adapter.model, hca.adapter.driver) in kinds and self._belongs(hca)
        ]

    def _belongs(self, hca: Hca) -> bool:
        """Where GPUs and adapters share switches, only what is nearer than a GPU's own is
        missed."""
        away = [(distance(near.gpu, hca.adapter.place), near.distance) for near in self.choice.near]
        return not away or any(
            far < own or (far == own and own > Distance.PXB) for far, own in away
        )


def select(needs: Requirements, facts: Facts) -> Requirements:
    """What the plan needs of this host, with its adapters chosen, or why they can't be."""
    try:
        return replace(needs, selection=_select(facts, needs.hca) if needs.rdma else None)
    except UnknownFact as unknown:
        return replace(needs, selection=str(unknown))
    except NONSENSE as error:
        return replace(needs, selection=f"a fact that makes no sense: {error!r}")


def _select(facts: Facts, wanted: Sequence[str]) -> Selection:
    known(facts, "ib.devices")
    fabric = parse_fabric(facts)
    assert fabric is not None
    return Selection(fabric, choose_hcas(fabric, wanted))


def selected(needs: Requirements) -> Selection:
    """Raises Unknown."""
    if not isinstance(needs.selection, Selection):
        raise UnknownFact(needs.selection or "no adapters were looked at")
    return needs.selection
