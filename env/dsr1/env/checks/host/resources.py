"""Checks of what a host gives its processes: limits, memory, CPUs."""

from dsr1.env.checks.judging import (
    CheckFunction,
    Verdict,
    for_gpus,
    for_information,
    known,
    known_or,
    pass_if,
    skipped,
)
from dsr1.env.checks.requirements import Requirements
from dsr1.env.hcas import Selection
from dsr1.hosts.protocol.facts.fact import Facts

GIB = 2**30
UNLIMITED = -1
FILES, FEWEST_FILES = 65536, 4096
THREADS = 65536
SHM_GIB, LEAST_SHM_GIB = 16, 1
# A rank of vLLM takes a few GiB and a few cores of its own; the page cache that holds the weights
# is model.cache's.
RAM_GIB, LEAST_RAM_GIB, CPUS = 32, 8, 8
STALE = GIB // 4
HUGE_PAGES_SHARE = 4


def memlock(facts: Facts, requirements: Requirements) -> Verdict:
    """NCCL and NVSHMEM end when they can't pin what an adapter is to reach; UCX falls back to
    TCP."""
    limit = known(facts, "limit.memlock")
    if not requirements.rdma or _has_no_adapter(requirements):
        return skipped("no RDMA between hosts")
    seen, good = f"{limit} bytes", False
    if limit == UNLIMITED:
        seen, good = "unlimited", True
    elif known_or(facts, "limit.none_on_locks", False):
        seen, good = f"{limit} bytes, which CAP_IPC_LOCK overrides", True
    fix = (
        "limits.d: `* - memlock unlimited` (sshd needs UsePAM); Slurm:"
        " PropagateResourceLimitsExcept=MEMLOCK."
    )
    return pass_if(good, "FAIL", seen, "memlock unlimited", fix)


def _has_no_adapter(requirements: Requirements) -> bool:
    selection = requirements.selection
    return isinstance(selection, Selection) and not selection.choice.hcas


def nofile(facts: Facts, requirements: Requirements) -> Verdict:
    limit = known(facts, "limit.nofile")
    good = limit == UNLIMITED or limit >= FILES
    verdict = "WARN" if limit >= FEWEST_FILES else "FAIL"
    fix = "limits.d: `* - nofile 1048576`."
    return pass_if(good, verdict, f"at most {limit} open files", f"{FILES} or more", fix)


def nproc(facts: Facts, requirements: Requirements) -> Verdict:
    """The tightest of the user's limit, the kernel's and the control group's."""
    limits = {
        "ulimit -u": known(facts, "limit.nproc"),
        "kernel": known(facts, "limit.threads"),
        "cgroup pids.max": known_or(facts, "cgroup.pids", UNLIMITED),
    }
    low = [f"{name} {limit}" for name, limit in limits.items() if UNLIMITED < limit < THREADS]
    seen = ", ".join(low) or f"{THREADS} or more"
    fix = (
        "limits.d: `* - nproc unlimited`; sysctl kernel.threads-max, kernel.pid_max; systemd"
        " TasksMax."
    )
    return pass_if(not low, "WARN", seen, f"{THREADS} processes and threads", fix)


def core(facts: Facts, requirements: Requirements) -> Verdict:
    if known(facts, "limit.core") == 0:
        return for_information("no core dumps")
    return for_information("core dumps of crashed ranks, each as large as the process")


def shm(facts: Facts, requirements: Requirements) -> Verdict:
    free = known(facts, "memory.shm_free") / GIB
    stale = known_or(facts, "memory.shm_stale", {"files": 0, "bytes": 0})
    has_stale = stale["bytes"] >= STALE
    seen = f"{free:.1f} GiB free"
    if has_stale:
        seen += f"; {stale['files']} files of {stale['bytes'] / GIB:.1f} GiB that no process uses"
    return pass_if(
        free >= SHM_GIB and not has_stale,
        "WARN" if free >= LEAST_SHM_GIB else "FAIL",
        seen,
        f"{SHM_GIB} GiB free in /dev/shm, and no files left behind",
        "Delete what crashed runs left in /dev/shm, or as root: mount -o remount,size=64G /dev/shm",
    )


def ram(facts: Facts, requirements: Requirements) -> Verdict:
    """Of the host, or of the control group that the agent runs in."""
    free = known(facts, "memory.available") / GIB
    limit = known_or(facts, "cgroup.memory", UNLIMITED)
    if limit != UNLIMITED:
        free = min(free, limit / GIB)
    wanted, least = RAM_GIB * requirements.gpus, LEAST_RAM_GIB * requirements.gpus
    fix = "End what uses the memory; in a Slurm job ask for all of it (--mem=0)."
    verdict = "WARN" if free >= least else "FAIL"
    return pass_if(
        free >= wanted, verdict, f"{free:.0f} GiB available", f"{wanted} GiB or more", fix
    )


def swap(facts: Facts, requirements: Requirements) -> Verdict:
    size = known(facts, "memory.swap")
    return for_information(f"{size / GIB:.1f} GiB of swap" if size else "no swap")


def thp(facts: Facts, requirements: Requirements) -> Verdict:
    return for_information(f"transparent huge pages: {known(facts, 'memory.thp')}")


def huge_pages(facts: Facts, requirements: Requirements) -> Verdict:
    """No other process can use what is set aside for them."""
    size, total = known(facts, "memory.huge_pages"), known(facts, "memory.total")
    seen = f"{size / GIB:.0f} GiB set aside for huge pages"
    fix = "sysctl vm.nr_hugepages=0, unless something on this host needs them."
    return pass_if(
        size <= total / HUGE_PAGES_SHARE, "WARN", seen, "at most a quarter of the memory", fix
    )


def cpus(facts: Facts, requirements: Requirements) -> Verdict:
    usable, quota = known(facts, "cpu.usable"), known_or(facts, "cgroup.cpus", UNLIMITED)
    if quota != UNLIMITED:
        usable = min(usable, quota)
    total = known(facts, "cpu.count")
    cores = known_or(facts, "cpu.cores", total)
    seen = f"{usable:g} usable of {total} CPUs, {cores} cores"
    wanted = CPUS * requirements.gpus
    fix = "In a Slurm job: --exclusive, or more --cpus-per-task. In a container: more CPUs."
    return pass_if(
        usable >= wanted, "WARN", seen, f"{wanted} usable CPUs, {CPUS} for each GPU", fix
    )


CHECKS: dict[str, CheckFunction] = {
    "sys.memlock": memlock,
    "sys.nofile": nofile,
    "sys.nproc": nproc,
    "sys.core": core,
    "sys.shm": shm,
    "sys.ram": for_gpus(ram),
    "sys.swap": swap,
    "sys.thp": thp,
    "sys.huge_pages": huge_pages,
    "sys.cpu": for_gpus(cpus),
}
