"""Checks of the operating system: limits, memory, CPUs, kernel, clock."""

import re

from dsr1.env.checks.judging import (
    CheckFunction,
    Requirements,
    UnknownFact,
    Verdict,
    known,
    known_or,
    on_gpus,
    passed,
    readable_values,
    skipped,
)
from dsr1.env.checks.selection import Selection
from dsr1.hosts.protocol.fact import Facts

GIB = 2**30
UNLIMITED = -1
THREADS = 65536
# A rank of vLLM takes a few GiB and a few cores of its own; the page cache that holds the weights
# is model.cache's.
RAM_WARN, RAM_FAIL, CORES = 32, 8, 8
GLIBC = (2, 28)  # manylinux_2_28, what the wheels of torch and vLLM are built for
BOOTING_S = 300
CLOCK_S = 0.1
STALE = GIB // 4


def memlock(facts: Facts, needs: Requirements) -> Verdict:
    """NCCL and NVSHMEM end when they can't pin what an adapter is to reach; UCX falls back to
    TCP."""
    limit = known(facts, "limit.memlock")
    if not needs.rdma or (
        isinstance(needs.selection, Selection) and not needs.selection.choice.hcas
    ):
        return skipped("no RDMA between hosts")
    fix = (
        "limits.d: `* - memlock unlimited` (sshd needs UsePAM); Slurm:"
        " PropagateResourceLimitsExcept=MEMLOCK."
    )
    free = limit == UNLIMITED or known_or(facts, "limit.none_on_locks", False)
    seen = (
        "unlimited"
        if limit == UNLIMITED
        else f"{limit} bytes{', which CAP_IPC_LOCK overrides' if free else ''}"
    )
    return passed(free, "FAIL", seen, "unlimited", fix)


def nofile(facts: Facts, needs: Requirements) -> Verdict:
    limit = known(facts, "limit.nofile")
    good = limit == UNLIMITED or limit >= 65536
    fix = "limits.d: `* - nofile 1048576`."
    return passed(
        good, "WARN" if limit >= 4096 else "FAIL", f"at most {limit} files", "65536 or more", fix
    )


def nproc(facts: Facts, needs: Requirements) -> Verdict:
    """The tightest of the user's limit, the kernel's and the control group's."""
    sources = {
        "ulimit -u": "limit.nproc",
        "kernel": "limit.threads",
        "cgroup pids.max": "cgroup.pids",
    }
    limits = {word: known(facts, name) for word, name in sources.items() if name != "cgroup.pids"}
    limits["cgroup pids.max"] = known_or(facts, "cgroup.pids", UNLIMITED)
    low = {word: limit for word, limit in limits.items() if limit != UNLIMITED and limit < THREADS}
    seen = ", ".join(f"{word} {limit}" for word, limit in low.items()) or f"{THREADS} or more"
    fix = (
        "limits.d: `* - nproc unlimited`; sysctl kernel.threads-max, kernel.pid_max; systemd"
        " TasksMax."
    )
    return passed(not low, "WARN", seen, f"{THREADS} processes and threads", fix)


def core(facts: Facts, needs: Requirements) -> Verdict:
    limit = known(facts, "limit.core")
    return readable_values(
        "none are written" if limit == 0 else "dumps of crashed ranks, each as large as the process"
    )


def shm(facts: Facts, needs: Requirements) -> Verdict:
    free, stale = (
        known(facts, "memory.shm_free") / GIB,
        known_or(facts, "memory.shm_stale", {"files": 0, "bytes": 0}),
    )
    many = stale["bytes"] >= STALE
    left = (
        f"; {stale['files']} files of {stale['bytes'] / GIB:.1f} GiB that no process uses"
        if many
        else ""
    )
    fix = (
        "Delete what crashed runs left in /dev/shm, or as root: mount -o remount,size=64G /dev/shm"
    )
    verdict = "WARN" if free >= 1 else "FAIL"
    return passed(
        free >= 16 and not left,
        verdict,
        f"{free:.1f} GiB free{left}",
        "16 GiB in /dev/shm, nothing left",
        fix,
    )


def ram(facts: Facts, needs: Requirements) -> Verdict:
    """Of the host, or of the control group that we are in."""
    free, most = known(facts, "memory.available") / GIB, known_or(facts, "cgroup.memory", UNLIMITED)
    free = free if most == UNLIMITED else min(free, most / GIB)
    wanted, least = RAM_WARN * needs.gpus, RAM_FAIL * needs.gpus
    fix = "End what uses the memory; in a Slurm job ask for all of it (--mem=0)."
    verdict = "WARN" if free >= least else "FAIL"
    return passed(
        free >= wanted, verdict, f"{free:.0f} GiB available", f"{wanted} GiB or more", fix
    )


def swap(facts: Facts, needs: Requirements) -> Verdict:
    size = known(facts, "memory.swap")
    return readable_values(f"{size / GIB:.1f} GiB of swap" if size else "no swap")


def thp(facts: Facts, needs: Requirements) -> Verdict:
    return readable_values(f"transparent huge pages: {known(facts, 'memory.thp')}")


def huge_pages(facts: Facts, needs: Requirements) -> Verdict:
    """What is set aside for them is nobody else's."""
    size, total = known(facts, "memory.huge_pages"), known(facts, "memory.total")
    fix = "sysctl vm.nr_hugepages=0, unless something of this host needs them."
    return passed(
        size <= total / 4, "WARN", f"{size / GIB:.0f} GiB set aside", "little of the memory", fix
    )


def numa_balancing(facts: Facts, needs: Requirements) -> Verdict:
    value = known(facts, "kernel.numa_balancing")
    return passed(value == 0, "WARN", str(value), "0", "sysctl kernel.numa_balancing=0")


def cpus(facts: Facts, needs: Requirements) -> Verdict:
    usable, quota = known(facts, "cpu.usable"), known_or(facts, "cgroup.cpus", UNLIMITED)
    here, wanted = known(facts, "cpu.count"), CORES * needs.gpus
    found = usable if quota == UNLIMITED else min(usable, quota)
    cores = known_or(facts, "cpu.cores", here)
    seen = f"{found:g} usable of {here} CPUs, {cores} cores"
    fix = "In a Slurm job: --exclusive, or more --cpus-per-task. In a container: more CPUs."
    return passed(found >= wanted, "WARN", seen, f"{wanted}, {CORES} a rank", fix)


def governor(facts: Facts, needs: Requirements) -> Verdict:
    """Virtual machines have none."""
    seen = known_or(facts, "cpu.governor", None)
    if seen is None:
        return skipped("this host sets no frequencies")
    return passed(
        seen == "performance", "WARN", seen, "performance", "cpupower frequency-set -g performance"
    )


def iommu(facts: Facts, needs: Requirements) -> Verdict:
    """Translation of every DMA slows GPUs' and adapters' transfers, and sends P2P through the root
    complex."""
    kinds, line = known(facts, "kernel.iommu"), known(facts, "kernel.command_line")
    if known(facts, "cpu.virtual"):
        return skipped("a virtual machine: its host decides")
    option = ", ".join(re.findall(r"\b\w*iommu\S*", line)) or "no option"
    translated = [kind for kind in kinds if kind.startswith("DMA")]
    seen = f"{', '.join(kinds) or 'off'} ({option})"
    fix = "Kernel command line: iommu=pt."
    return passed(not translated, "WARN", seen, "off, or passthrough (identity)", fix)


def acs(facts: Facts, needs: Requirements) -> Verdict:
    """With it, what a GPU sends to an adapter beside it goes up to the root complex and down
    again."""
    if known(facts, "cpu.virtual"):
        return skipped("a virtual machine: its host decides")
    bridges = known(facts, "pci.acs")
    seen = (
        f"{len(bridges)} bridges validate sources: {', '.join(bridges[:4])}" if bridges else "off"
    )
    return passed(
        not bridges,
        "WARN",
        seen,
        "off on all PCI bridges",
        "Turn ACS off in the BIOS, or by setpci.",
    )


def clock(facts: Facts, needs: Requirements) -> Verdict:
    """Logs of several hosts are ordered by time. What runs serves with a clock an hour off
    (tests/cluster)."""
    offset = abs(known(facts, "clock.offset"))
    fix = "Start chronyd, or another time service."
    return passed(offset < CLOCK_S, "WARN", f"{offset:.2f} s off", f"within {CLOCK_S} s", fix)


def clock_synchronized(facts: Facts, needs: Requirements) -> Verdict:
    source = known_or(facts, "clock.source", {})
    seen = (
        "the kernel holds it for synchronized"
        if known(facts, "clock.synchronized")
        else "nobody sets it"
    )
    by = f" by {source['source']}, stratum {source['stratum']}" if source else ""
    good = known(facts, "clock.synchronized")
    return passed(
        good,
        "WARN",
        f"{seen}{by}",
        "a clock that is set",
        "Start chronyd, or another time service.",
    )


def glibc(facts: Facts, needs: Requirements) -> Verdict:
    library = known(facts, "os.libc")
    found = re.match(r"glibc (\d+)\.(\d+)", library)
    if found is None:
        raise UnknownFact(f"the C library is {library!r}")
    wanted = "glibc 2.28 or later"
    return passed(
        tuple(map(int, found.groups())) >= GLIBC,
        "FAIL",
        library,
        wanted,
        "Use a newer system or container.",
    )


def modules(facts: Facts, needs: Requirements) -> Verdict:
    """CUDA's first start loads nvidia_uvm by itself: when it starts, whatever was not there before
    is there now."""
    loaded, wanted = known(facts, "kernel.modules"), ["nvidia", "nvidia_uvm"]
    missing = [name for name in wanted if name not in loaded]
    starts = known_or(facts, "gpu.cuda", {}).get("code") == 0
    seen = (
        f"not {', '.join(missing)}{', until CUDA was started' if starts else ''}"
        if missing
        else ", ".join(loaded)
    )
    fix = f"modprobe -a {' '.join(missing)}, or install the driver."
    return passed(not missing or starts, "FAIL", seen, ", ".join(wanted), fix)


def uptime(facts: Facts, needs: Requirements) -> Verdict:
    seconds = known(facts, "kernel.uptime_s")
    young = ": the fabric manager may not be through" if seconds < BOOTING_S and needs.gpus else ""
    return readable_values(f"up for {seconds / 3600:.1f} h{young}")


def slurm(facts: Facts, needs: Requirements) -> Verdict:
    job = known(facts, "environment.slurm")
    if "SLURM_JOB_ID" not in job:
        return skipped("not in a Slurm job")
    if "SLURM_HET_SIZE" in job:
        return skipped("a heterogeneous job counts the nodes of one group; launch counts them all")
    nodes = int(job.get("SLURM_JOB_NUM_NODES", "1"))
    seen, wanted = f"job {job['SLURM_JOB_ID']} has {nodes} nodes", f"{needs.hosts} or more"
    return passed(
        nodes >= needs.hosts,
        "FAIL",
        seen,
        wanted,
        "Ask for as many nodes as the recipe wants (--nodes).",
    )


JUDGES: dict[str, CheckFunction] = {
    "sys.memlock": memlock,
    "sys.nofile": nofile,
    "sys.nproc": nproc,
    "sys.core": core,
    "sys.shm": shm,
    "sys.ram": on_gpus(ram),
    "sys.swap": swap,
    "sys.thp": thp,
    "sys.huge_pages": huge_pages,
    "sys.numa_balancing": numa_balancing,
    "sys.cpu": on_gpus(cpus),
    "sys.governor": governor,
    "sys.iommu": on_gpus(iommu),
    "sys.acs": on_gpus(acs),
    "sys.clock": clock,
    "sys.clock_source": clock_synchronized,
    "sys.glibc": glibc,
    "sys.modules": on_gpus(modules),
    "sys.uptime": uptime,
    "sys.slurm": slurm,
}
