"""Checks of InfiniBand and RoCE adapters: of those that the plan chooses, not of all that a host
has."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from dsr1.env.checks.judging import (
    CheckFunction,
    EqualOnAll,
    Requirements,
    UnknownFact,
    Verdict,
    known,
    passed,
)
from dsr1.env.checks.selection import Selection, selected
from dsr1.env.distance import Distance
from dsr1.env.gids import automatic, forced_index, is_ethernet, routable
from dsr1.env.hcas import EFA, MLX5, Hca
from dsr1.env.rdma import names
from dsr1.hosts.protocol.fact import Facts

NDR_GB, JUMBO = 400, 4200  # a GPU's share on Hopper; RoCE with 4096 bytes needs jumbo frames
NONE = "no adapter is chosen: see ib.present"
WORRYING = ("link_error_recovery", "local_link_integrity_errors", "excessive_buffer_overrun_errors")
GROWTH = "ib.growth"
FLAPS = 5  # Azure's limit for a day
NEVER = (
    "link_downed",
    "excessive_buffer_overrun_errors",
    "local_link_integrity_errors",
    "rnr_nak_retry_err",
)
A_SECOND = {
    "symbol_error": 10,
    "link_error_recovery": 5 / 60,
    "port_rcv_errors": 10,
    "port_xmit_discards": 100,
    "roce_slow_restart": 10,
}
OTHER_BACKEND = "--set engines.ENGINE.all2all_backend=allgather_reducescatter"
AdapterCheck = Callable[[Selection, Requirements, Facts], Verdict]


def of_adapters(judge: AdapterCheck) -> CheckFunction:
    """Where traffic leaves the host and adapters carry it."""

    def judged(facts: Facts, needs: Requirements) -> Verdict:
        if not needs.rdma:
            return Verdict("SKIP", "nothing of the model's leaves a host", "")
        chosen = selected(needs)
        return judge(chosen, needs, facts) if chosen.choice.hcas else Verdict("SKIP", NONE, "")

    return judged


def of_ethernet(judge: Callable[[Sequence[Hca], Selection], Verdict]) -> CheckFunction:
    def judged(chosen: Selection, needs: Requirements, facts: Facts) -> Verdict:
        ports = [hca for hca in chosen.choice.hcas if is_ethernet(hca)]
        return judge(ports, chosen) if ports else Verdict("SKIP", "InfiniBand", "")

    return of_adapters(judged)


def must_know(values: Iterable[object], what: str) -> None:
    """Of a reading that isn't there nothing can be said."""
    if any(value is None or value == "" for value in values):
        raise UnknownFact(f"{what} can't be read")


def present(facts: Facts, needs: Requirements) -> Verdict:
    if not needs.rdma:
        return Verdict("SKIP", "nothing of the model's leaves a host", "")
    choice = selected(needs).choice
    if not choice.hcas:
        must_know((hca.port.state for hca, _ in choice.passed_over), "the state of a port")
    seen = names(choice.hcas) or choice.reasons or "no adapter"
    fix = (
        "Load mlx5_ib (or the adapter's own module), see why ports are passed over, or name them:"
        " hca."
    )
    fix += f" A site without any: {OTHER_BACKEND}" if needs.ibgda else ""
    return passed(
        bool(choice.hcas),
        "FAIL" if needs.ibgda else "WARN",
        seen,
        "InfiniBand or RoCE adapters",
        fix,
    )


def adapter_driver(facts: Facts, needs: Requirements) -> Verdict:
    """NVSHMEM's IBGDA speaks to ConnectX hardware itself."""
    if not needs.ibgda:
        return Verdict("SKIP", "no DeepEP by NVSHMEM between hosts", "")
    here = selected(needs)
    drivers = {hca.adapter.driver for hca in here.choice.hcas} or {
        a.driver for a in here.fabric.adapters
    }
    if not drivers:
        return Verdict("SKIP", NONE, "")
    must_know(drivers, "an adapter's driver")
    backends = f"{OTHER_BACKEND}{', or deepep_v2' if EFA in drivers else ''}"
    fix = f"DeepEP can't leave this host: {backends}."
    return passed(drivers == {MLX5}, "FAIL", ", ".join(sorted(drivers)), MLX5, fix)


def state(chosen: Selection, needs: Requirements, facts: Facts) -> Verdict:
    down = [hca for hca in (*chosen.choice.hcas, *chosen.lagging) if not hca.is_up]
    for hca in down:
        must_know((hca.port.state, hca.port.phys_state), f"the state of {hca.name}")
    seen = "; ".join(f"{hca.name} {hca.port.state}/{hca.port.phys_state}" for hca in down)
    fix = "Polling: the cable or the switch. INIT: no subnet manager. Or leave it out: hca."
    verdict = "WARN" if all(hca.port.state == "INIT" for hca in down) else "FAIL"
    return passed(
        not down,
        verdict,
        seen or f"{len(chosen.choice.hcas)} up",
        "every one ACTIVE and LinkUp",
        fix,
    )


def rate(chosen: Selection, needs: Requirements, facts: Facts) -> Verdict:
    """A port that came up slowly is passed over for its faster like; one that the control network
    needs is not slow."""
    rates, lagging = (
        [hca.port.rate_gb for hca in chosen.choice.hcas],
        [hca for hca in chosen.lagging if hca.is_up],
    )
    must_know((*rates, *(hca.port.rate_gb for hca in lagging)), "the rate of a port")
    slow = [hca for hca in lagging if (hca.port.rate_gb or 0) < max(rate or 0 for rate in rates)]
    fix = "Look at its cable and switch port."
    if slow:
        seen = ", ".join(f"{hca.name} {hca.port.rate_gb:g} Gb/s" for hca in slow)
        return Verdict("FAIL", seen, "its like's rate", fix)
    seen = ", ".join(f"{count} x {rate:g} Gb/s" for rate, count in Counter(rates).items())
    share = sum(rate or 0 for rate in rates) / max(1, len(chosen.fabric.gpus))
    good = len(set(rates)) == 1 and (share >= NDR_GB or not chosen.fabric.gpus)
    return passed(good, "WARN", seen, f"one rate, {NDR_GB} Gb/s for each GPU", fix)


def mixed(chosen: Selection, needs: Requirements, facts: Facts) -> Verdict:
    layers = sorted({hca.port.link_layer for hca in chosen.choice.hcas})
    must_know(layers, "a link layer")
    return passed(
        len(layers) == 1,
        "FAIL",
        ", ".join(layers),
        "one link layer",
        "NCCL mixes none: name those: hca.",
    )


def gid(ports: Sequence[Hca], chosen: Selection) -> Verdict:
    bare = [hca.name for hca in ports if not routable(hca.port.gids)]
    fix = "Give its interface an IPv4 address."
    if bare:
        return Verdict(
            "FAIL", f"{', '.join(bare)}: no RoCE v2 GID of an address", "one on every port", fix
        )
    index = forced_index(ports)
    wrong = [
        hca.name
        for hca in ports
        if automatic(hca.port.gids) not in {g.index for g in routable(hca.port.gids)}
    ]
    if wrong and index is None:
        said = (
            f"{', '.join(wrong)}: the automatic choice has no address, and no one index has on all"
            " ports"
        )
        return Verdict("FAIL", said, "an index that fits all", "Configure the interfaces alike.")
    said = f"index {index}, forced" if wrong else "the automatic choice"
    return Verdict("PASS", said, "a RoCE v2 GID of an address")


def subnet_manager(chosen: Selection, needs: Requirements, facts: Facts) -> Verdict:
    ports = [hca for hca in chosen.choice.hcas if not is_ethernet(hca)]
    if not ports:
        return Verdict("SKIP", "RoCE has none", "")
    must_know(
        (lid for hca in ports for lid in (hca.port.lid, hca.port.sm_lid)),
        "a port's lid, or its manager's,",
    )
    bare = [hca.name for hca in ports if not (_is_lid(hca.port.lid) and _is_lid(hca.port.sm_lid))]
    seen = f"{', '.join(bare)}: no lid, or none of a manager" if bare else "all ports have lids"
    return passed(
        not bare,
        "FAIL",
        seen,
        "lids from a subnet manager",
        "Start opensm, or ask who runs the fabric.",
    )


def _is_lid(lid: int | None) -> bool:
    """Of one port; 0 is none yet, and from 0xc000 on they are of many."""
    return lid is not None and 0 < lid < 0xC000


def counters(chosen: Selection, needs: Requirements, facts: Facts) -> Verdict:
    """Since the driver was loaded: one look can't tell when."""
    counted = [(hca, dict(hca.port.counters)) for hca in chosen.choice.hcas]
    silent = [hca.name for hca, counts in counted if not counts]
    if silent:
        raise UnknownFact(f"{', '.join(silent)}: no counter can be read")
    bad = [
        f"{h.name} {name} {counts[name]}"
        for h, counts in counted
        for name in WORRYING
        if counts.get(name)
    ]
    return passed(
        not bad,
        "WARN",
        ", ".join(bad) or "no error",
        "no error since boot",
        "Watch it grow: cable, optics.",
    )


def flap(chosen: Selection, needs: Requirements, facts: Facts) -> Verdict:
    """Since boot; a port and its interfaces count for themselves, and a loss and a return are two
    changes."""
    days = known(facts, "kernel.uptime_s") / 86400
    lost = {hca.name: _losses(hca, chosen) for hca in chosen.choice.hcas}
    must_know(lost.values(), "how often a link was lost")
    often = [f"{name} {count} times" for name, count in lost.items() if (count or 0) > FLAPS + days]
    most = max(count or 0 for count in lost.values())
    seen = f"{', '.join(often) or f'{most} times at most'} in {days:.1f} days"
    wanted = f"links lost {FLAPS} times at most, and once more a day"
    return passed(not often, "WARN", seen, wanted, "Look at its cable, optics and switch port.")


def _losses(hca: Hca, chosen: Selection) -> int | None:
    """None: nobody counts."""
    netdevs = [chosen.fabric.netdevs.get(name) for name in hca.adapter.netdevs]
    changes = [netdev.carrier_changes for netdev in netdevs if netdev is not None]
    counts = [
        dict(hca.port.counters).get("link_downed"),
        *(change and change // 2 for change in changes),
    ]
    return max((count for count in counts if count is not None), default=None)


def growth(chosen: Selection, needs: Requirements, facts: Facts) -> Verdict:
    """NVSentinel's limits: some counters may never grow, others so much a second."""
    if GROWTH not in facts:
        return Verdict("SKIP", f"looked at only once; --only {GROWTH} looks twice", "")
    told = known(facts, GROWTH)
    seconds, ports = (
        float(told["seconds"]),
        {hca.name: told["ports"][hca.name] for hca in chosen.choice.hcas},
    )
    if not all(ports.values()):
        raise UnknownFact("no counter can be read")
    rates = {
        f"{port} {name}": (name, counts[name] / seconds)
        for port, counts in ports.items()
        for name in counts
    }
    fatal = [what for what, (name, rate) in rates.items() if name in NEVER and rate > 0]
    many = [what for what, (name, rate) in rates.items() if rate > A_SECOND.get(name, rate)]
    seen = (
        ", ".join(f"{what} {rates[what][1]:.1f}/s" for what in (*fatal, *many))
        or f"nothing in {seconds:.1f} s"
    )
    fix = "Cable, optics, switch port; on RoCE also flow control."
    return passed(
        not fatal and not many, "FAIL" if fatal else "WARN", seen, "errors that don't grow", fix
    )


def verbs(chosen: Selection, needs: Requirements, facts: Facts) -> Verdict:
    nodes: dict[str, bool] = known(facts, "ib.verbs")
    wanted = {hca.adapter.verbs: hca.adapter.name for hca in chosen.choice.hcas}
    must_know(wanted, "an adapter's verbs node")
    shut = [f"{node} ({name})" for node, name in wanted.items() if nodes.get(node) is not True]
    shut += ["rdma_cm"] if nodes.get("rdma_cm") is not True else []
    seen = (
        f"{', '.join(shut)}: absent, or can't be opened" if shut else f"{len(wanted)} and rdma_cm"
    )
    fix = "modprobe -a ib_uverbs rdma_ucm; check the modes of /dev/infiniband."
    return passed(not shut, "FAIL", seen, "each adapter's node, openable", fix)


def affinity(chosen: Selection, needs: Requirements, facts: Facts) -> Verdict:
    near = chosen.choice.near
    if not near or not all(one.gpu.path for one in near):
        raise UnknownFact("where the GPUs sit on PCI can't be read")
    far = [
        f"{one.gpu.pci} {one.distance.name} {one.hca.name}"
        for one in near
        if one.distance > Distance.PXB
    ]
    users = Counter(one.hca for one in near)
    shared = [f"{hca.name} has {count} GPUs" for hca, count in users.items() if count > 1]
    seen = "; ".join((*far, *shared)) or "; ".join(
        f"{one.gpu.pci} {one.distance.name}" for one in near
    )
    fix = "A virtual machine may hide it; else see BIOS and slots, or choose: hca."
    return passed(
        not far and not shared, "WARN", seen, "its own adapter for each GPU, PIX or PXB", fix
    )


def lanes(chosen: Selection, needs: Requirements, facts: Facts) -> Verdict:
    links = [(hca.adapter.name, hca.adapter.link) for hca in chosen.choice.hcas]
    dark = [
        name
        for name, link in links
        if not (link.width and link.width_max and link.speed and link.speed_max)
    ]
    if dark or any((link.width or 0) > 64 for _, link in links):
        raise UnknownFact(
            f"{', '.join(dark) or 'an adapter'}: its PCI link is not told, as in virtual machines"
        )
    narrow = [
        f"{name} x{k.width} of x{k.width_max}"
        for name, k in links
        if (k.width or 0) < (k.width_max or 0)
    ]
    slow = [
        f"{name} {k.speed} of {k.speed_max} GT/s"
        for name, k in links
        if (k.speed or 0) < (k.speed_max or 0)
    ]
    seen = ", ".join((*narrow, *slow)) or ", ".join(
        sorted({f"x{k.width} {k.speed} GT/s" for _, k in links})
    )
    return passed(
        not narrow and not slow,
        "FAIL" if narrow else "WARN",
        seen,
        "its full link",
        "Reseat it; see BIOS.",
    )


def mtu(ports: Sequence[Hca], chosen: Selection) -> Verdict:
    seen = {name: chosen.fabric.netdevs.get(name) for hca in ports for name in _interfaces(hca)}
    sizes = {name: netdev and netdev.mtu for name, netdev in seen.items()}
    if not sizes or None in sizes.values():
        raise UnknownFact("the MTU of an adapter's interface can't be read")
    small = [f"{name} {size}" for name, size in sizes.items() if (size or 0) < JUMBO]
    said = ", ".join(small) or ", ".join(sorted({str(size) for size in sizes.values()}))
    good = not small and len(set(sizes.values())) == 1
    fix = "; ".join(f"ip link set dev {name} mtu 9000" for name in sizes) + "; and on the switch"
    return passed(good, "WARN", said, f"{JUMBO} or more, alike", fix)


def _interfaces(hca: Hca) -> Iterable[str]:
    """That which owns its GIDs, as a bond does; else its own."""
    return dict.fromkeys(gid.netdev for gid in routable(hca.port.gids)) or hca.adapter.netdevs


JUDGES: dict[str, CheckFunction] = {
    "ib.present": present,
    "ib.driver": adapter_driver,
    "ib.state": of_adapters(state),
    "ib.rate": of_adapters(rate),
    "ib.mixed": of_adapters(mixed),
    "ib.gid": of_ethernet(gid),
    "ib.sm": of_adapters(subnet_manager),
    "ib.counters": of_adapters(counters),
    "ib.flap": of_adapters(flap),
    GROWTH: of_adapters(growth),
    "ib.uverbs": of_adapters(verbs),
    "ib.gpu_affinity": of_adapters(affinity),
    "ib.vf_pci": of_adapters(lanes),
    "ib.mtu": of_ethernet(mtu),
}


def firmware(needs: Requirements) -> dict[str, str]:
    """By model, of the adapters that are chosen."""
    found: dict[str, set[str]] = {}
    for hca in selected(needs).choice.hcas:
        found.setdefault(hca.adapter.model, set()).add(hca.adapter.firmware)
    return {model: ", ".join(sorted(versions)) for model, versions in sorted(found.items())}


def kind(needs: Requirements) -> dict[str, str]:
    ports = [hca.port for hca in selected(needs).choice.hcas]
    counts = Counter(f"{port.link_layer} {port.rate_gb or 0:g} Gb/s" for port in ports)
    return {
        "adapters": (
            ", ".join(f"{count} x {what}" for what, count in sorted(counts.items())) or "none"
        )
    }


EQUAL: dict[str, EqualOnAll[Requirements]] = {
    "ib.same": EqualOnAll(
        kind,
        "FAIL",
        "NCCL mixes no link layers, and the slowest host sets the pace: use equal hosts.",
    ),
    "ib.fw": EqualOnAll(firmware, "WARN", "Bring the adapters to one firmware."),
}
