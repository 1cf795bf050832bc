"""Checks of the kernel and the system around it: settings, modules, clock, C library, Slurm's
job."""

import re

from dsr1.env.checks.judging import (
    CheckFunction,
    UnknownFact,
    Verdict,
    for_gpus,
    for_information,
    known,
    known_or,
    pass_if,
    skipped,
)
from dsr1.env.checks.requirements import Requirements
from dsr1.env.versions import version_numbers
from dsr1.hosts.inventory.names import name_few
from dsr1.hosts.protocol.facts.fact import Facts

GLIBC = (2, 28)  # manylinux_2_28, what the wheels of torch and vLLM are built for
BOOTING_S = 300
CLOCK_S = 0.1
TIME_SERVICE = "Start chronyd, or another time service."
MODULES = ("nvidia", "nvidia_uvm")


def numa_balancing(facts: Facts, requirements: Requirements) -> Verdict:
    value = known(facts, "kernel.numa_balancing")
    seen, wanted = f"kernel.numa_balancing {value}", "kernel.numa_balancing 0"
    return pass_if(value == 0, "WARN", seen, wanted, "sysctl kernel.numa_balancing=0")


def governor(facts: Facts, requirements: Requirements) -> Verdict:
    """Virtual machines have none."""
    seen = known_or(facts, "cpu.governor", None)
    if seen is None:
        return skipped("this host sets no frequencies")
    fix = "cpupower frequency-set -g performance"
    return pass_if(seen == "performance", "WARN", seen, "performance", fix)


def for_bare_metal(judge: CheckFunction) -> CheckFunction:
    def judge_bare_metal(facts: Facts, requirements: Requirements) -> Verdict:
        if known(facts, "cpu.virtual"):
            return skipped("a virtual machine, whose host decides this")
        return judge(facts, requirements)

    return for_gpus(judge_bare_metal)


def iommu(facts: Facts, requirements: Requirements) -> Verdict:
    """Translation of every DMA slows GPUs' and adapters' transfers, and sends P2P through the root
    complex."""
    types, command_line = known(facts, "kernel.iommu"), known(facts, "kernel.command_line")
    options = ", ".join(re.findall(r"\b\w*iommu\S*", command_line)) or "no option"
    translates = any(group_type.startswith("DMA") for group_type in types)
    seen = f"{', '.join(types) or 'off'} ({options})"
    wanted = "the IOMMU off, or passthrough (identity)"
    return pass_if(not translates, "WARN", seen, wanted, "Kernel command line: iommu=pt.")


def acs(facts: Facts, requirements: Requirements) -> Verdict:
    """With it, what a GPU sends to an adapter beside it goes up to the root complex and down
    again."""
    bridges = known(facts, "pci.acs")
    seen = "off"
    if bridges:
        seen = f"ACS is on at PCI bridges {name_few(bridges)}"
    fix = "Turn ACS off in the BIOS, or with setpci."
    return pass_if(not bridges, "WARN", seen, "ACS off on all PCI bridges", fix)


def clock(facts: Facts, requirements: Requirements) -> Verdict:
    """Logs of several hosts are ordered by time. What runs serves with a clock an hour off
    (tests/cluster)."""
    offset = abs(known(facts, "clock.offset"))
    wanted = f"within {CLOCK_S} s of the launching machine's clock"
    return pass_if(offset < CLOCK_S, "WARN", f"{offset:.2f} s off", wanted, TIME_SERVICE)


def clock_synchronized(facts: Facts, requirements: Requirements) -> Verdict:
    synchronized = known(facts, "clock.synchronized")
    source = known_or(facts, "clock.source", {})
    state = "a synchronized" if synchronized else "an unsynchronized"
    seen = f"the kernel reports {state} clock"
    if source:
        seen += f"; source {source['source']}, stratum {source['stratum']}"
    return pass_if(synchronized, "WARN", seen, "a synchronized clock", TIME_SERVICE)


def glibc(facts: Facts, requirements: Requirements) -> Verdict:
    library = known(facts, "os.libc")
    if not re.match(r"glibc \d+\.\d+", library):
        raise UnknownFact(f"the C library is {library!r}, not glibc")
    good = version_numbers(library)[:2] >= GLIBC
    return pass_if(good, "FAIL", library, "glibc 2.28 or later", "Use a newer system or container.")


def modules(facts: Facts, requirements: Requirements) -> Verdict:
    """CUDA's first start loads nvidia_uvm by itself: when it starts, whatever was not there before
    is there now."""
    loaded = known(facts, "kernel.modules")
    missing = [name for name in MODULES if name not in loaded]
    cuda_starts = known_or(facts, "gpu.cuda", {}).get("code") == 0
    if not missing:
        return Verdict("PASS", ", ".join(loaded), ", ".join(MODULES))
    seen = f"{', '.join(missing)} not loaded"
    if cuda_starts:
        seen += " until CUDA was started"
    fix = f"modprobe -a {' '.join(missing)}, or install the driver."
    return pass_if(cuda_starts, "FAIL", seen, ", ".join(MODULES), fix)


def uptime(facts: Facts, requirements: Requirements) -> Verdict:
    seconds = known(facts, "kernel.uptime_s")
    seen = f"up for {seconds / 3600:.1f} h"
    if seconds < BOOTING_S and requirements.gpus:
        seen += ": the fabric manager may still be starting"
    return for_information(seen)


def slurm(facts: Facts, requirements: Requirements) -> Verdict:
    job = known(facts, "environment.slurm")
    if "SLURM_JOB_ID" not in job:
        return skipped("not in a Slurm job")
    if "SLURM_HET_SIZE" in job:
        return skipped("a heterogeneous job counts the nodes of one group; launch counts them all")
    nodes = int(job.get("SLURM_JOB_NUM_NODES", "1"))
    return pass_if(
        nodes >= requirements.hosts,
        "FAIL",
        f"job {job['SLURM_JOB_ID']} has {nodes} nodes",
        f"{requirements.hosts} nodes or more",
        "Ask for as many nodes as the recipe needs (--nodes).",
    )


CHECKS: dict[str, CheckFunction] = {
    "sys.numa_balancing": numa_balancing,
    "sys.governor": governor,
    "sys.iommu": for_bare_metal(iommu),
    "sys.acs": for_bare_metal(acs),
    "sys.clock": clock,
    "sys.clock_source": clock_synchronized,
    "sys.glibc": glibc,
    "sys.modules": for_gpus(modules),
    "sys.uptime": uptime,
    "sys.slurm": slurm,
}
