"""Checks of InfiniBand and RoCE adapters, and of what IBGDA (NVSHMEM's GPU-initiated transport) needs of the host."""

import re
from typing import Any

from dsr1.env.checks.judging import Judge, Needs, Verdict, known, known_or, passed
from dsr1.hosts.facts.fact import Facts

# NVSHMEM's release notes: 3.0.6 falls back to the CPU through GDRCopy, 3.4.5 through host memory too.
WITH_GDRCOPY, WITH_HOST_MEMORY = (3, 0, 6), (3, 4, 5)
OVERRIDE = re.compile(r"(?:^|;)\s*PeerMappingOverride\s*=\s*(?:0x)?0*1\s*(?:;|$)")
REGKEYS = (
    'Write `options nvidia NVreg_EnableStreamMemOPs=1 NVreg_RegistryDwords="PeerMappingOverride=1;"` into '
    "/etc/modprobe.d/nvidia.conf, update-initramfs -u (or dracut --force), reboot."
)
REBOOT = "The options are in /etc/modprobe.d but not in the loaded module: rebuild the initramfs and reboot."


def needs_fabric(judge: Judge) -> Judge:
    return lambda facts, needs: judge(facts, needs) if needs.ibgda else Verdict("SKIP", "no DeepEP between hosts", "")


def ports_of(facts: Facts) -> list[dict[str, Any]]:
    ports: list[dict[str, Any]] = known(facts, "ib.ports")
    return ports


def is_up(port: dict[str, Any]) -> bool:
    return (port["state"], port["phys_state"]) == ("ACTIVE", "LinkUp")


def present(facts: Facts, needs: Needs) -> Verdict:
    names = [port["device"] for port in ports_of(facts)]
    fix = "Load mlx5_ib (or the adapter's own module); without adapters DeepEP can't leave a host."
    return passed(bool(names), "FAIL", ", ".join(names) or "no adapter", "InfiniBand or RoCE adapters", fix)


def state(facts: Facts, needs: Needs) -> Verdict:
    up = [port for port in ports_of(facts) if is_up(port)]
    down = [f"{p['device']}:{p['port']} {p['state']}/{p['phys_state']}" for p in ports_of(facts) if not is_up(p)]
    seen = f"{len(up)} up" + (f"; down: {', '.join(down)}" if down else "")
    fix = "Polling: the cable or the switch. INIT: no subnet manager."
    return passed(not down, "WARN" if up else "FAIL", seen, "every port ACTIVE and LinkUp", fix)


def rate(facts: Facts, needs: Needs) -> Verdict:
    rates = {port["rate_gb"] for port in ports_of(facts) if is_up(port)}
    seen = ", ".join(f"{rate:g} Gb/s" for rate in sorted(rates)) or "no port that is up"
    fix = "The slow ones may be for control and storage; else look at cable and switch port."
    return passed(len(rates) == 1, "WARN", seen, "one rate", fix)


def verbs(facts: Facts, needs: Needs) -> Verdict:
    nodes: dict[str, bool] = known(facts, "ib.verbs")
    shut = [name for name, can in nodes.items() if not can]
    good = not shut and any(name.startswith("uverbs") for name in nodes)
    seen = f"{', '.join(shut)} can't be opened" if shut else ", ".join(nodes) or "none"
    return passed(good, "FAIL", seen, "/dev/infiniband/uverbs*, openable", "modprobe ib_uverbs rdma_ucm; check modes.")


def registrable(facts: Facts, needs: Needs) -> Verdict:
    peermem, driver = known(facts, "nvidia.peermem"), known(facts, "nvidia.driver")
    seen = "nvidia_peermem" if peermem else f"no nvidia_peermem, {'open' if driver['open'] else 'closed'} driver"
    return passed(peermem or driver["open"], "FAIL", seen, "nvidia_peermem, or dma-buf", "modprobe nvidia_peermem")


def regkeys(params: dict[str, str]) -> bool:
    return params["EnableStreamMemOPs"] == "1" and bool(OVERRIDE.search(params["RegistryDwords"]))


def ibgda(facts: Facts, needs: Needs) -> Verdict:
    """The keys of the loaded module; without them, whether this NVSHMEM can let the CPU ring the doorbell."""
    params = known(facts, "nvidia.params")
    seen = f"EnableStreamMemOPs {params['EnableStreamMemOPs']}, RegistryDwords {params['RegistryDwords'] or 'empty'}"
    wanted = "EnableStreamMemOPs 1, PeerMappingOverride=1"
    if regkeys(params):
        return Verdict("PASS", seen, wanted)
    fix = REBOOT if "PeerMappingOverride" in known_or(facts, "nvidia.configured", "") else REGKEYS
    way = fallback(nvshmem_version(facts), known_or(facts, "gdrcopy.usable", False))
    if way:
        return Verdict("WARN", f"{seen}: CPU-assisted IBGDA through {way}, a higher latency", wanted, fix)
    return Verdict("FAIL", f"{seen}; this NVSHMEM has no way around", wanted, fix)


def fallback(nvshmem: tuple[int, ...], gdrcopy: bool) -> str:
    """What this NVSHMEM does without the keys; empty: nothing."""
    if gdrcopy and nvshmem >= WITH_GDRCOPY:
        return "GDRCopy"
    return "host memory" if nvshmem >= WITH_HOST_MEMORY else ""


def nvshmem_version(facts: Facts) -> tuple[int, ...]:
    """Empty: not installed, or not by a package that we know."""
    packages = known(facts, "software")
    text = packages.get("nvidia-nvshmem-cu13") or packages.get("nvidia-nvshmem-cu12") or ""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


JUDGES: dict[str, Judge] = {
    "ib.present": needs_fabric(present),
    "ib.state": needs_fabric(state),
    "ib.rate": needs_fabric(rate),
    "ib.uverbs": needs_fabric(verbs),
    "ibgda.mem_reg": needs_fabric(registrable),
    "ibgda.params": needs_fabric(ibgda),
}
