"""Which kind of port, of one link layer and one rate, carries the model's traffic. Pure.

Nearness goes before speed: a port behind a GPU's own PCI switch moves data without the CPU, one
elsewhere mostly doesn't (NCCL and IBGDA then leave GPUDirect off), however fast it is. So a
storage adapter on the CPU doesn't displace the GPUs' own ones.
"""

from collections.abc import Sequence

from dsr1.env.distance import Distance, distance
from dsr1.env.fabric import FabricFacts
from dsr1.env.hca import Hca
from dsr1.hosts.dataclass import dataclass

Kind = tuple[str, float]  # link layer, Gb/s


def port_kind(hca: Hca) -> Kind:
    return hca.port.link_layer, hca.port.rate_gb or 0


@dataclass(frozen=True, slots=True)
class _Offer:
    """A kind's ports. `served` GPUs have one behind their own switch; `dealt` have one there for
    themselves. `is_busy`: all ports carry the control network or the default route."""

    kind: Kind
    ports: int
    served: int
    dealt: int
    is_busy: bool

    @property
    def total_gb(self) -> float:
        return self.kind[1] * self.ports


def choose_kind(fabric: FabricFacts, ports: Sequence[Hca]) -> Kind | None:
    """The kind that most GPUs have behind their own switch, one each before a shared one; of
    those the most Gb/s in all, then a port, then InfiniBand. None: there is no port."""
    offers = [_make_offer(fabric, kind, ports) for kind in dict.fromkeys(map(port_kind, ports))]
    free = [offer for offer in offers if not _yields(offer, offers)]
    best = max(free, key=lambda offer: _rank(fabric, offer, offers), default=None)
    return best.kind if best else None


def _make_offer(fabric: FabricFacts, kind: Kind, ports: Sequence[Hca]) -> _Offer:
    own = [hca for hca in ports if port_kind(hca) == kind]
    served, used = 0, set[Hca]()
    for gpu in fabric.gpus:
        near = [hca for hca in own if distance(gpu, hca.adapter.place) <= Distance.PXB]
        served += bool(near)
        used.update([hca for hca in near if hca not in used][:1])
    busy = all(fabric.is_busy(hca.adapter, hca.port) for hca in own)
    return _Offer(kind, len(own), served, len(used), busy)


def _yields(offer: _Offer, offers: Sequence[_Offer]) -> bool:
    """Ports of the control network leave the model's traffic to as much bandwidth that is free."""
    others = [other for other in offers if not other.is_busy]
    return offer.is_busy and any(
        other.total_gb >= offer.total_gb and other.served >= offer.served for other in others
    )


def _rank(
    fabric: FabricFacts, offer: _Offer, offers: Sequence[_Offer]
) -> tuple[int, int, float, float, bool]:
    layer, rate = offer.kind
    near = (0, 0) if _is_stray(fabric, offer, offers) else (offer.served, offer.dealt)
    return (*near, offer.total_gb, rate, layer == "InfiniBand")


def _is_stray(fabric: FabricFacts, offer: _Offer, offers: Sequence[_Offer]) -> bool:
    """A few slow ports that happen to sit beside a GPU, as one for management does, where faster
    ones are more."""
    if 2 * offer.served >= len(fabric.gpus):
        return False
    return any(other.kind[1] > offer.kind[1] and other.ports > offer.ports for other in offers)
