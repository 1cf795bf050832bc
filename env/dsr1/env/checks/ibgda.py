"""Checks of what IBGDA (NVSHMEM's transport that GPUs drive) needs of a host; DeepEP between hosts
goes by it."""

from dsr1.env.checks.judging import CheckFunction, Requirements, Verdict, known, known_or, passed
from dsr1.env.ibgda import handler, has_regkeys, nvshmem_version
from dsr1.hosts.protocol.adapters import has_dma_buf
from dsr1.hosts.protocol.fact import Facts

REGKEYS = (
    "Write `options nvidia NVreg_EnableStreamMemOPs=1"
    ' NVreg_RegistryDwords="PeerMappingOverride=1;"` into /etc/modprobe.d/nvidia.conf,'
    " update-initramfs -u (or dracut --force), reboot."
)
REBOOT = (
    "The options are in /etc/modprobe.d but not in the loaded module: rebuild the initramfs and"
    " reboot."
)
WAYS = {"cpu": "GDRCopy", "cpu_host_memory": "host memory"}


def for_deepep(judge: CheckFunction) -> CheckFunction:
    return lambda facts, needs: (
        judge(facts, needs) if needs.ibgda else Verdict("SKIP", "no DeepEP between hosts", "")
    )


def registrable(facts: Facts, needs: Requirements) -> Verdict:
    driver, kernel = known(facts, "nvidia.driver"), known(facts, "kernel.release")
    kind, wanted = (
        "open" if driver["open"] else "closed",
        "nvidia_peermem, or the open driver on Linux 5.12 or later",
    )
    if has_dma_buf(driver["open"] is True, kernel):
        return Verdict("PASS", f"open driver on {kernel}", wanted)
    peermem = known(facts, "nvidia.peermem")
    seen = "nvidia_peermem" if peermem else f"no nvidia_peermem, {kind} driver on {kernel}"
    return passed(peermem, "FAIL", seen, wanted, "modprobe nvidia_peermem")


def driver_kind(facts: Facts, needs: Requirements) -> Verdict:
    driver = known(facts, "nvidia.driver")
    fix = (
        "Install the open kernel modules of this version: with them adapters reach GPU memory by"
        " dma-buf."
    )
    return passed(
        driver["open"] is True,
        "WARN",
        "open" if driver["open"] else "closed",
        "the open driver",
        fix,
    )


def params(facts: Facts, needs: Requirements) -> Verdict:
    """The keys of the loaded module; without them, whether this NVSHMEM can let the CPU ring the
    doorbell."""
    loaded = known(facts, "nvidia.params")
    seen = (
        f"EnableStreamMemOPs {loaded['EnableStreamMemOPs']}, RegistryDwords"
        f" {loaded['RegistryDwords'] or 'empty'}"
    )
    wanted = "EnableStreamMemOPs 1, PeerMappingOverride=1"
    if has_regkeys(loaded):
        return Verdict("PASS", seen, wanted)
    fix = REBOOT if "PeerMappingOverride" in known_or(facts, "nvidia.configured", "") else REGKEYS
    version = nvshmem_version(known(facts, "software"))
    if not version and "deep_ep" in known_or(facts, "software.modules", []):
        return Verdict(
            "WARN",
            f"{seen}; DeepEP has an NVSHMEM of its own, and only some do without",
            wanted,
            fix,
        )
    way = handler(version, known_or(facts, "gdrcopy.usable", False) is True)
    if way:
        return Verdict(
            "WARN", f"{seen}: CPU-assisted IBGDA through {WAYS[way]}, a higher latency", wanted, fix
        )
    return Verdict("FAIL", f"{seen}; this NVSHMEM has no way around", wanted, fix)


def gdrcopy(facts: Facts, needs: Requirements) -> Verdict:
    usable = known(facts, "gdrcopy.usable") is True
    fix = "Install gdrcopy's gdrdrv-dkms (2.5.2 or newer on kernels from 6.15 on), modprobe gdrdrv."
    return passed(
        usable,
        "WARN",
        "/dev/gdrdrv" if usable else "no usable /dev/gdrdrv",
        "GDRCopy's module",
        fix,
    )


JUDGES: dict[str, CheckFunction] = {
    "ibgda.params": for_deepep(params),
    "ibgda.gdrcopy": for_deepep(gdrcopy),
    "ibgda.mem_reg": for_deepep(registrable),
    "driver.kind": for_deepep(driver_kind),
}
