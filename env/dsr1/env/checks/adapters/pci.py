"""Checks of where the chosen adapters are on the PCI bus: near their GPUs, at full speed."""

from collections import Counter
from collections.abc import Sequence

from dsr1.env.checks.adapters.select import NONE_CHOSEN, for_ports, for_rdma, selected
from dsr1.env.checks.judging import CheckFunction, UnknownFact, Verdict, pass_if, skipped
from dsr1.env.checks.requirements import Requirements
from dsr1.env.distance import Distance, distance
from dsr1.env.hca import Hca, natural
from dsr1.env.hcas import NearestHca, Selection
from dsr1.env.rdma import can_map
from dsr1.hosts.protocol.facts.adapters import PciLink
from dsr1.hosts.protocol.facts.fact import Facts

MOST_LANES = 64
HIDDEN = "In a virtual machine PCI paths may be hidden; else see BIOS and slots, or choose: hca."
UNDEALT = (
    "vLLM's mapping tells adapters apart by PCI address and takes one port number: choose others"
    " (hca), or layout: per_gpu, where each process has its own."
)


def affinity(facts: Facts, requirements: Requirements) -> Verdict:
    selection = selected(requirements)
    if not selection.choice.hcas:
        return skipped(NONE_CHOSEN)
    pairs = _known_pairs(selection)
    far = [
        f"{pair.gpu.pci} {pair.distance.name} {pair.hca.name}"
        for pair in pairs
        if pair.distance > Distance.PXB
    ]
    gpus = Counter(pair.hca for pair in pairs)
    shared = [f"{hca.name} has {count} GPUs" for hca, count in gpus.items() if count > 1]
    near = [f"{pair.gpu.pci} {pair.distance.name}" for pair in pairs]
    undealt = _undealt(selection) if requirements.ibgda else []
    return pass_if(
        not far and not shared and not undealt,
        "WARN",
        "; ".join([*far, *shared, *undealt] or near),
        "an adapter for each GPU behind the same PCI switch (PIX or PXB)",
        UNDEALT if undealt else HIDDEN,
    )


def _undealt(selection: Selection) -> list[str]:
    """GPUs that NVSHMEM gives the same adapter though they could have one each, where vLLM's
    mapping can't deal them."""
    pairs = selection.choice.near
    if can_map(selection.choice, pairs):
        return []
    first = Counter(_first_near(pair, selection) for pair in pairs)
    return [
        f"NVSHMEM gives {count} GPUs {hca.name} by itself"
        for hca, count in first.items()
        if count > Counter(pair.hca for pair in pairs)[hca]
    ]


def _first_near(pair: NearestHca, selection: Selection) -> Hca:
    """What NVSHMEM takes: of equally near ones the first."""
    ports = sorted(selection.choice.hcas, key=lambda hca: natural(hca.adapter.name))
    return next(hca for hca in ports if distance(pair.gpu, hca.adapter.place) == pair.distance)


def _known_pairs(selection: Selection) -> tuple[NearestHca, ...]:
    pairs = selection.choice.near
    if not pairs or not all(pair.gpu.path for pair in pairs):
        raise UnknownFact("where the GPUs are on the PCI bus can't be read")
    return pairs


def full_link(ports: Sequence[Hca], selection: Selection) -> Verdict:
    """Width and speed of the adapters' PCI links."""
    links = _known_links(ports)
    narrow = [
        f"{name} x{link.width} of x{link.width_max}"
        for name, link in links.items()
        if _is_below(link.width, link.width_max)
    ]
    slow = [
        f"{name} {link.speed} of {link.speed_max} GT/s"
        for name, link in links.items()
        if _is_below(link.speed, link.speed_max)
    ]
    full = sorted({f"x{link.width} {link.speed} GT/s" for link in links.values()})
    seen = ", ".join([*narrow, *slow] or full)
    fix = "Reseat the adapter, and look at the BIOS's settings for its slot."
    verdict = "FAIL" if narrow else "WARN"
    return pass_if(not (narrow or slow), verdict, seen, "the full PCI width and speed", fix)


def _is_below(value: float | None, most: float | None) -> bool:
    return (value or 0) < (most or 0)


def _known_links(ports: Sequence[Hca]) -> dict[str, PciLink]:
    links = {hca.adapter.name: hca.adapter.link for hca in ports}
    unread = [name for name, link in links.items() if not _is_plausible(link)]
    if unread:
        raise UnknownFact(
            f"{', '.join(unread)}: the PCI link can't be read, as in virtual machines"
        )
    return links


def _is_plausible(link: PciLink) -> bool:
    values = (link.width, link.width_max, link.speed, link.speed_max)
    return all(values) and (link.width or 0) <= MOST_LANES


CHECKS: dict[str, CheckFunction] = {
    "ib.gpu_affinity": for_rdma(affinity),
    "ib.vf_pci": for_ports(full_link),
}
