"""Checks of the ports of the chosen adapters: that there are some, their drivers, states, rates and
addresses."""

from collections import Counter
from collections.abc import Iterable, Sequence

from dsr1.env.checks.adapters.select import (
    INSPECT_LINK,
    NONE_CHOSEN,
    for_chosen,
    for_ports,
    for_rdma,
    require_known,
    selected,
)
from dsr1.env.checks.comparing import EqualOnAll
from dsr1.env.checks.judging import (
    CheckFunction,
    UnknownFact,
    Verdict,
    known,
    pass_if,
    skipped,
)
from dsr1.env.checks.requirements import Requirements
from dsr1.env.gids import ETHERNET, automatic, forced_index, routable
from dsr1.env.hca import Hca
from dsr1.env.hcas import EFA, MLX5, Selection
from dsr1.env.rdma import names
from dsr1.hosts.protocol.facts.fact import Facts

NDR_GB, JUMBO = 400, 4200  # a GPU's share on Hopper; RoCE with 4096 bytes needs jumbo frames
OTHER_BACKEND = "--set engines.ENGINE.all2all_backend=allgather_reducescatter"


def present(facts: Facts, requirements: Requirements) -> Verdict:
    choice = selected(requirements).choice
    if not choice.hcas:
        require_known((hca.port.state for hca, _ in choice.passed_over), "the state of a port")
    seen = names(choice.hcas) or choice.reasons or "no adapter"
    fix = (
        "Load mlx5_ib (or the adapter's own module), see why ports are passed over, or name the"
        " adapters: hca."
    )
    verdict = "WARN"
    if requirements.ibgda:
        verdict = "FAIL"
        fix += f" On hosts without adapters: {OTHER_BACKEND}"
    return pass_if(bool(choice.hcas), verdict, seen, "InfiniBand or RoCE adapters", fix)


def adapter_driver(facts: Facts, requirements: Requirements) -> Verdict:
    """NVSHMEM's IBGDA speaks to ConnectX hardware itself."""
    if not requirements.ibgda:
        return skipped("the plan has no DeepEP through NVSHMEM between hosts")
    selection = selected(requirements)
    adapters = [hca.adapter for hca in selection.choice.hcas] or selection.fabric.adapters
    drivers = {adapter.driver for adapter in adapters}
    if not drivers:
        return skipped(NONE_CHOSEN)
    require_known(drivers, "an adapter's driver")
    fix = f"DeepEP can't leave this host: {OTHER_BACKEND}"
    if EFA in drivers:
        fix += ", or deepep_v2"
    return pass_if(drivers == {MLX5}, "FAIL", ", ".join(sorted(drivers)), MLX5, f"{fix}.")


def state(ports: Sequence[Hca], selection: Selection) -> Verdict:
    down = [hca for hca in (*ports, *selection.lagging) if not hca.is_up]
    for hca in down:
        require_known((hca.port.state, hca.port.phys_state), f"the state of {hca.name}")
    states = [f"{hca.name} {hca.port.state}/{hca.port.phys_state}" for hca in down]
    only_init = all(hca.port.state == "INIT" for hca in down)
    seen = "; ".join(states) or f"{len(ports)} up"
    fix = (
        "Polling: inspect the cable or the switch. INIT: start a subnet manager. Or leave the port"
        " out: hca."
    )
    verdict = "WARN" if only_init else "FAIL"
    return pass_if(not down, verdict, seen, "every port ACTIVE and LinkUp", fix)


def rate(ports: Sequence[Hca], selection: Selection) -> Verdict:
    """A port that came up slower than the others of its model is not chosen, and named here; one
    that is left to the control network is not slow."""
    lagging = [hca for hca in selection.lagging if hca.is_up]
    rates = _known_rates(ports)
    lagging_rates = _known_rates(lagging)
    slow = [
        f"{hca.name} {rate:g} Gb/s"
        for hca, rate in zip(lagging, lagging_rates, strict=True)
        if rate < max(rates)
    ]
    if slow:
        wanted = f"{max(rates):g} Gb/s, as the other ports of this model"
        return Verdict("FAIL", ", ".join(slow), wanted, INSPECT_LINK)
    seen = ", ".join(f"{count} x {rate:g} Gb/s" for rate, count in Counter(rates).items())
    gpus = len(selection.fabric.gpus)
    good = len(set(rates)) == 1 and sum(rates) >= NDR_GB * gpus
    wanted = f"ports of one rate, {NDR_GB} Gb/s for each GPU"
    return pass_if(good, "WARN", seen, wanted, INSPECT_LINK)


def _known_rates(ports: Sequence[Hca]) -> list[float]:
    rates = [hca.port.rate_gb for hca in ports]
    require_known(rates, "the rate of a port")
    return [rate for rate in rates if rate is not None]


def one_link_layer(ports: Sequence[Hca], selection: Selection) -> Verdict:
    layers = sorted({hca.port.link_layer for hca in ports})
    require_known(layers, "the link layer of a port")
    fix = "Name adapters of one link layer (hca): NCCL does not mix them."
    return pass_if(len(layers) == 1, "FAIL", ", ".join(layers), "one link layer", fix)


def gid(ports: Sequence[Hca], selection: Selection) -> Verdict:
    wanted = "a RoCE v2 GID with a routable address on every port"
    without = [hca.name for hca in ports if not routable(hca.port.gids)]
    if without:
        seen = f"{', '.join(without)}: no RoCE v2 GID with a routable address"
        return Verdict("FAIL", seen, wanted, "Give the port's interface an IPv4 address.")
    wrong = [hca.name for hca in ports if not _chooses_routable(hca)]
    if not wrong:
        return Verdict("PASS", "the automatic choice", wanted)
    index = forced_index(ports)
    if index is not None:
        return Verdict("PASS", f"index {index}, forced", wanted)
    seen = (
        f"{', '.join(wrong)}: the automatic choice has no routable address, and no one index has on"
        " all ports"
    )
    return Verdict("FAIL", seen, wanted, "Configure the ports' interfaces alike.")


def _chooses_routable(hca: Hca) -> bool:
    return automatic(hca.port.gids) in {gid.index for gid in routable(hca.port.gids)}


def subnet_manager(ports: Sequence[Hca], selection: Selection) -> Verdict:
    lids = {hca.name: (hca.port.lid, hca.port.sm_lid) for hca in ports}
    for pair in lids.values():
        require_known(pair, "the lid of a port, or of its subnet manager,")
    without = [name for name, pair in lids.items() if not all(map(_is_lid, pair))]
    seen = f"{', '.join(without)}: no lid, or no subnet manager's"
    return pass_if(
        not without,
        "FAIL",
        seen if without else "all ports have lids",
        "lids from a subnet manager",
        "Start opensm, or ask who runs the InfiniBand fabric.",
    )


def _is_lid(lid: int | None) -> bool:
    """Of one port; 0 is none yet, and from 0xc000 on they are multicast."""
    return lid is not None and 0 < lid < 0xC000


def verbs(facts: Facts, selection: Selection) -> Verdict:
    nodes: dict[str, bool] = known(facts, "ib.verbs")
    adapters = {hca.adapter.verbs: hca.adapter.name for hca in selection.choice.hcas}
    require_known(adapters, "an adapter's verbs node")
    closed = [f"{node} ({name})" for node, name in adapters.items() if nodes.get(node) is not True]
    if nodes.get("rdma_cm") is not True:
        closed.append("rdma_cm")
    seen = f"{len(adapters)} verbs nodes and rdma_cm"
    if closed:
        seen = f"{', '.join(closed)}: absent, or can't be opened"
    fix = "modprobe -a ib_uverbs rdma_ucm, and check the modes of /dev/infiniband."
    wanted = "rdma_cm and each adapter's verbs node, which this user can open"
    return pass_if(not closed, "FAIL", seen, wanted, fix)


def mtu(ports: Sequence[Hca], selection: Selection) -> Verdict:
    interfaces = [name for hca in ports for name in _interfaces(hca)]
    sizes = _known_mtus(interfaces, selection)
    small = [f"{name} {size}" for name, size in sizes.items() if size < JUMBO]
    different = sorted({str(size) for size in sizes.values()})
    good = not small and len(different) == 1
    commands = [f"ip link set dev {name} mtu 9000" for name in sizes]
    return pass_if(
        good,
        "WARN",
        ", ".join(small or different),
        f"one MTU of {JUMBO} or more",
        f"{'; '.join(commands)}; and on the switch.",
    )


def _interfaces(hca: Hca) -> Iterable[str]:
    """Those that own its GIDs, as a bond does; else its own."""
    return dict.fromkeys(gid.netdev for gid in routable(hca.port.gids)) or hca.adapter.netdevs


def _known_mtus(interfaces: Iterable[str], selection: Selection) -> dict[str, int]:
    sizes = {}
    for name in interfaces:
        netdev = selection.fabric.netdevs.get(name)
        if netdev is None or netdev.mtu is None:
            raise UnknownFact(f"the MTU of {name} can't be read")
        sizes[name] = netdev.mtu
    if not sizes:
        raise UnknownFact("the adapters have no interfaces whose MTU could be read")
    return sizes


CHECKS: dict[str, CheckFunction] = {
    "ib.present": for_rdma(present),
    "ib.driver": adapter_driver,
    "ib.state": for_ports(state),
    "ib.rate": for_ports(rate),
    "ib.mixed": for_ports(one_link_layer),
    "ib.gid": for_ports(gid, ETHERNET),
    "ib.sm": for_ports(subnet_manager, "InfiniBand"),
    "ib.uverbs": for_chosen(verbs),
    "ib.mtu": for_ports(mtu, ETHERNET),
}


def firmware(requirements: Requirements) -> dict[str, str]:
    """By model, of the chosen adapters."""
    versions: dict[str, set[str]] = {}
    for hca in selected(requirements).choice.hcas:
        versions.setdefault(hca.adapter.model, set()).add(hca.adapter.firmware)
    return {model: ", ".join(sorted(found)) for model, found in sorted(versions.items())}


def adapter_kinds(requirements: Requirements) -> dict[str, str]:
    ports = [hca.port for hca in selected(requirements).choice.hcas]
    counts = Counter(f"{port.link_layer} {port.rate_gb or 0:g} Gb/s" for port in ports)
    kinds = [f"{count} x {kind}" for kind, count in sorted(counts.items())]
    return {"adapters": ", ".join(kinds) or "none"}


EQUAL: dict[str, EqualOnAll[Requirements]] = {
    "ib.same": EqualOnAll(
        adapter_kinds,
        "FAIL",
        "Use equal hosts: NCCL mixes no link layers, and the slowest host sets the pace.",
    ),
    "ib.fw": EqualOnAll(
        firmware, "WARN", "Install the same firmware on all adapters of this model."
    ),
}
