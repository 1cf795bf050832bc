"""Which adapters carry the model's traffic: of those that are up the kind that GPUs have behind
their own switches, then the fastest one; of that the nearest to each GPU. Pure.

Not chosen: what carries the control network or the default route, virtual functions beside their
physical one, adapters without verbs of their own (EFA), and names that no variable can hold. Link
layers are never mixed: NCCL refuses that. A user's `hca` goes before all of it.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from dsr1.env.distance import Distance, distance
from dsr1.env.fabric import FabricFacts
from dsr1.env.hca import Hca, all_ports, matches
from dsr1.env.port_kinds import choose_kind, port_kind
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.inventory.names import name_few
from dsr1.hosts.protocol.facts.adapters import PciPlace

MLX5, EFA = "mlx5_core", "efa"
CARRIES_CONTROL = "carries the control network or the default route"
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class NearestHca:
    """A GPU, the HCA that is its own, and how far that is."""

    gpu: PciPlace
    hca: Hca
    distance: Distance


@dataclass(frozen=True, slots=True)
class HcaChoice:
    """`hcas` in the order of the GPUs that they are nearest to. `why` says what made the choice.

    `passed_over` are the other ports, each with its reason.
    """

    hcas: tuple[Hca, ...]
    near: tuple[NearestHca, ...]
    why: str
    passed_over: tuple[tuple[Hca, str], ...] = ()

    @property
    def reasons(self) -> str:
        """Why ports are passed over, for a person: each reason once."""
        ports: dict[str, list[str]] = {}
        for hca, reason in self.passed_over:
            ports.setdefault(reason, []).append(hca.name)
        return "; ".join(f"{name_few(names)}: {reason}" for reason, names in ports.items())


@dataclass(frozen=True, slots=True)
class Selection:
    """What a host has, and which of it is chosen."""

    fabric: FabricFacts
    choice: HcaChoice

    @property
    def lagging(self) -> list[Hca]:
        """Ports that belong with the chosen ones and were passed over: of a chosen model and link
        layer, as near to a GPU as its own one, and not the control network's."""
        alike = {_make(hca) for hca in self.choice.hcas}
        return [
            hca
            for hca, _ in self.choice.passed_over
            if _make(hca) in alike
            and self._is_near(hca)
            and not self.fabric.is_busy(hca.adapter, hca.port)
        ]

    def _is_near(self, hca: Hca) -> bool:
        """Where GPUs and adapters share switches, only what is nearer than a GPU's own is
        missed; where they don't, only as long as not every GPU has one."""
        near = self.choice.near
        if not near:
            return True
        away = [distance(one.gpu, hca.adapter.place) for one in near]
        pairs = [(far, one.distance) for far, one in zip(away, near, strict=True)]
        if any(far < own for far, own in pairs):
            return True
        missing = len(self.choice.hcas) < len(near)
        return missing and any(far == own > Distance.PXB for far, own in pairs)


def _make(hca: Hca) -> tuple[str, str, str]:
    return hca.adapter.model, hca.adapter.driver, hca.port.link_layer


def choose_hcas(fabric: FabricFacts, wanted: Sequence[str] = ()) -> HcaChoice:
    """`wanted` is the user's own list: `mlx5_0`, `mlx5_0:1` or a pattern, `ibp*`. Nothing fits: no
    HCAs."""
    ports = all_ports(fabric)
    if wanted:
        chosen = [hca for word in wanted for hca in ports if matches(hca, word)]
        return _make_choice(fabric, list(dict.fromkeys(chosen)), ports, "hca, as given")
    usable, reasons = _sift(ports, _rules(fabric))
    kind = choose_kind(fabric, usable)
    alike = [hca for hca in usable if port_kind(hca) == kind]
    free = _without_busy(fabric, alike)
    chosen = _nearest_to_any(fabric.gpus, free)
    reasons |= {hca: _difference(hca, alike[0]) for hca in usable if hca not in alike}
    reasons |= _reject(alike, free, CARRIES_CONTROL)
    reasons |= _reject(free, chosen, "farther from every GPU")
    return _make_choice(fabric, chosen, ports, _describe(chosen), reasons)


def _difference(hca: Hca, chosen: Hca) -> str:
    """Why a port that is up is of no kind that is taken."""
    if hca.port.link_layer != chosen.port.link_layer:
        return "of another link layer than the chosen ones"
    if (hca.port.rate_gb or 0) < (chosen.port.rate_gb or 0):
        return "slower, and nearer to no more GPUs than the chosen ones"
    return "faster, but fewer GPUs have one of these near"


def _reject(ports: Sequence[Hca], kept: Sequence[Hca], reason: str) -> dict[Hca, str]:
    return dict.fromkeys((hca for hca in ports if hca not in kept), reason)


def _rules(fabric: FabricFacts) -> Mapping[str, Callable[[Hca], bool]]:
    """By reason: whether it speaks against a port."""
    has_mlx5 = any(adapter.driver == MLX5 for adapter in fabric.adapters)
    return {
        "its name fits no variable": lambda hca: not PLAIN.fullmatch(hca.adapter.name),
        "EFA, which NCCL and IBGDA can't drive by themselves": lambda hca: (
            hca.adapter.driver == EFA
        ),
        f"not driven by {MLX5}": lambda hca: has_mlx5 and hca.adapter.driver != MLX5,
        "a virtual function; its physical one is here": lambda hca: hca.adapter.is_vf,
        "its state can't be read": lambda hca: not hca.port.state,
        "not up": lambda hca: not hca.is_up,
        "its rate is not known": lambda hca: hca.port.rate_gb is None,
    }


def _sift(
    ports: Sequence[Hca], rules: Mapping[str, Callable[[Hca], bool]]
) -> tuple[list[Hca], dict[Hca, str]]:
    """Those that no rule is against, and the first reason against each of the others."""
    usable, reasons = [], {}
    for hca in ports:
        reason = next((reason for reason, applies in rules.items() if applies(hca)), "")
        if reason:
            reasons[hca] = reason
        else:
            usable.append(hca)
    return usable, reasons


def _without_busy(fabric: FabricFacts, ports: Sequence[Hca]) -> list[Hca]:
    """One that a GPU has nothing as near as stays: where each GPU has its own, the control network
    shares one."""
    free = [hca for hca in ports if not fabric.is_busy(hca.adapter, hca.port)]
    if len(free) in (0, len(ports)):
        return list(ports)
    kept = set(free)
    for gpu in fabric.gpus:
        nearest = _nearest(gpu, ports)
        if not any(hca in free for hca in nearest):
            kept.update(nearest)
    return [hca for hca in ports if hca in kept]


def _nearest_to_any(gpus: Sequence[PciPlace], ports: Sequence[Hca]) -> list[Hca]:
    """GPU by GPU all that are as near as the nearest. Without GPUs that are known: all."""
    if not gpus or not ports:
        return list(ports)
    return list(dict.fromkeys(hca for gpu in gpus for hca in _nearest(gpu, ports)))


def _nearest(gpu: PciPlace, ports: Sequence[Hca]) -> list[Hca]:
    away = [distance(gpu, hca.adapter.place) for hca in ports]
    return [hca for hca, far in zip(ports, away, strict=True) if far == min(away)]


def assign_hcas(gpus: Sequence[PciPlace], ports: Sequence[Hca]) -> tuple[NearestHca, ...]:
    """To each GPU a nearest one; of several the one that the fewest GPUs have."""
    used = dict.fromkeys(ports, 0)
    nearest: list[NearestHca] = []
    for gpu in gpus if ports else ():
        offers = ((distance(gpu, hca.adapter.place), used[hca], hca) for hca in ports)
        far, _, hca = min(offers, key=lambda offer: offer[:2])
        used[hca] += 1
        nearest.append(NearestHca(gpu, hca, far))
    return tuple(nearest)


def _describe(chosen: Sequence[Hca]) -> str:
    if not chosen:
        return "no adapter fits"
    port = chosen[0].port
    return f"{port.rate_gb:g} Gb/s {port.link_layer}, nearest to the GPUs"


def _make_choice(
    fabric: FabricFacts,
    chosen: Sequence[Hca],
    ports: Sequence[Hca],
    why: str,
    reasons: Mapping[Hca, str] | None = None,
) -> HcaChoice:
    others = tuple(
        (hca, (reasons or {}).get(hca, "not given")) for hca in ports if hca not in chosen
    )
    return HcaChoice(tuple(chosen), assign_hcas(fabric.gpus, chosen), why, others)
