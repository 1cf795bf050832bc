"""Checks of the operating system: limits, memory, CPUs, clock, environment."""

from dsr1.env.checks.judging import Judge, Needs, Verdict, known, known_or, passed
from dsr1.hosts.facts.fact import Facts

GIB = 2**30
UNLIMITED = -1


def memlock(facts: Facts, needs: Needs) -> Verdict:
    limit = known(facts, "limit.memlock")
    if not needs.ibgda:
        return Verdict("SKIP", "no RDMA between hosts", "")
    fix = "limits.d: `* - memlock unlimited` (sshd needs UsePAM); Slurm: PropagateResourceLimitsExcept=MEMLOCK."
    seen = "unlimited" if limit == UNLIMITED else f"{limit} bytes"
    return passed(limit == UNLIMITED, "FAIL", seen, "unlimited", fix)


def nofile(facts: Facts, needs: Needs) -> Verdict:
    limit = known(facts, "limit.nofile")
    good = limit == UNLIMITED or limit >= 65536
    fix = "limits.d: `* - nofile 1048576`."
    return passed(good, "WARN" if limit >= 4096 else "FAIL", f"at most {limit} files", "65536 or more", fix)


def shm(facts: Facts, needs: Needs) -> Verdict:
    free = known(facts, "memory.shm_free") / GIB
    fix = "Delete what crashed runs left in /dev/shm, or remount it with a larger size."
    return passed(free >= 16, "WARN" if free >= 1 else "FAIL", f"{free:.1f} GiB free", "16 GiB in /dev/shm", fix)


def ram(facts: Facts, needs: Needs) -> Verdict:
    """The host that runs R1 keeps its 690 GB in the page cache while it loads."""
    if not needs.gpus:
        return Verdict("SKIP", "a plan without GPUs", "")
    free = known(facts, "memory.available") / GIB
    fix = "Loading will read the disk more than once; end what uses the memory."
    return passed(free >= 256, "WARN", f"{free:.0f} GiB available", "256 GiB or more", fix)


def numa_balancing(facts: Facts, needs: Needs) -> Verdict:
    value = known(facts, "kernel.numa_balancing")
    return passed(value == 0, "WARN", str(value), "0", "sysctl kernel.numa_balancing=0")


def governor(facts: Facts, needs: Needs) -> Verdict:
    """Virtual machines have none."""
    seen = known_or(facts, "cpu.governor", None)
    if seen is None:
        return Verdict("SKIP", "this host sets no frequencies", "")
    return passed(seen == "performance", "WARN", seen, "performance", "cpupower frequency-set -g performance")


def clock(facts: Facts, needs: Needs) -> Verdict:
    """Logs of several hosts are ordered by time. What runs serves with a clock an hour off (tests/cluster)."""
    offset = abs(known(facts, "clock.offset"))
    fix = "Start chronyd, or another time service."
    return passed(offset < 0.5, "WARN", f"{offset:.2f} s off", "within 0.5 s", fix)


def environment(facts: Facts, needs: Needs) -> Verdict:
    found = known(facts, "environment")
    seen = ", ".join(f"{name}={value}" for name, value in found.items())
    fix = "Unset it in the profile that a login without terminal reads, or set it in the recipe."
    return passed(not found, "WARN", seen or "clean", "none of LD_PRELOAD, CUDA_VISIBLE_DEVICES, proxies", fix)


JUDGES: dict[str, Judge] = {
    "sys.memlock": memlock,
    "sys.nofile": nofile,
    "sys.shm": shm,
    "sys.ram": ram,
    "sys.numa_balancing": numa_balancing,
    "sys.governor": governor,
    "sys.clock": clock,
    "sw.env_hygiene": environment,
}
