"""Checks of what IBGDA (NVSHMEM's transport that GPUs drive) needs of a host: DeepEP between hosts
uses it."""

from dsr1.env.checks.judging import (
    CheckFunction,
    Verdict,
    known,
    known_or,
    pass_if,
    skipped,
)
from dsr1.env.checks.requirements import Requirements
from dsr1.env.ibgda import handler, has_regkeys, nvshmem_version
from dsr1.hosts.protocol.facts.adapters import has_dma_buf
from dsr1.hosts.protocol.facts.fact import Facts

REGKEYS = (
    "Write `options nvidia NVreg_EnableStreamMemOPs=1"
    ' NVreg_RegistryDwords="PeerMappingOverride=1;"` into /etc/modprobe.d/nvidia.conf,'
    " update-initramfs -u (or dracut --force), reboot."
)
REBOOT = (
    "The options are in /etc/modprobe.d but not in the loaded module: rebuild the initramfs and"
    " reboot."
)
HANDLERS = {"cpu": "GDRCopy", "cpu_host_memory": "host memory"}


def for_deepep(judge: CheckFunction) -> CheckFunction:
    def judge_with_deepep(facts: Facts, requirements: Requirements) -> Verdict:
        if not requirements.ibgda:
            return skipped("the plan has no DeepEP through NVSHMEM between hosts")
        return judge(facts, requirements)

    return judge_with_deepep


def memory_registration(facts: Facts, requirements: Requirements) -> Verdict:
    driver, kernel = known(facts, "nvidia.driver"), known(facts, "kernel.release")
    wanted = "nvidia_peermem, or the open driver on Linux 5.12 or later"
    if has_dma_buf(driver["open"] is True, kernel):
        return Verdict("PASS", f"open driver on {kernel}", wanted)
    peermem = known(facts, "nvidia.peermem")
    kind = "open" if driver["open"] else "closed"
    seen = "nvidia_peermem" if peermem else f"no nvidia_peermem, {kind} driver on {kernel}"
    return pass_if(peermem, "FAIL", seen, wanted, "modprobe nvidia_peermem")


def driver_kind(facts: Facts, requirements: Requirements) -> Verdict:
    is_open = known(facts, "nvidia.driver")["open"]
    fix = (
        "Install the open kernel modules of this version: with them adapters reach GPU memory"
        " through dma-buf."
    )
    seen = f"the {'open' if is_open else 'closed'} driver"
    return pass_if(is_open is True, "WARN", seen, "the open driver", fix)


def registry_keys(facts: Facts, requirements: Requirements) -> Verdict:
    """The keys of the loaded module; without them, whether this NVSHMEM can let the CPU ring the
    doorbell."""
    loaded = known(facts, "nvidia.params")
    dwords = loaded["RegistryDwords"] or "empty"
    seen = f"EnableStreamMemOPs {loaded['EnableStreamMemOPs']}, RegistryDwords {dwords}"
    wanted = "EnableStreamMemOPs 1, PeerMappingOverride=1"
    if has_regkeys(loaded):
        return Verdict("PASS", seen, wanted)
    fix = REBOOT if "PeerMappingOverride" in known_or(facts, "nvidia.configured", "") else REGKEYS
    verdict, consequence = _without_keys(facts)
    return Verdict(verdict, f"{seen}{consequence}", wanted, fix)


def _without_keys(facts: Facts) -> tuple[str, str]:
    """The verdict, and what happens without the keys."""
    version = nvshmem_version(known(facts, "software"))
    if not version and "deep_ep" in known_or(facts, "software.modules", []):
        return "WARN", "; DeepEP has an NVSHMEM of its own, and only some work without the keys"
    name = handler(version, known_or(facts, "gdrcopy.usable", False) is True)
    if name:
        through = HANDLERS[name]
        return "WARN", f": CPU-assisted IBGDA through {through}, with a higher latency"
    return "FAIL", "; this NVSHMEM does not work without the keys"


def gdrcopy(facts: Facts, requirements: Requirements) -> Verdict:
    usable = known(facts, "gdrcopy.usable") is True
    seen = "/dev/gdrdrv" if usable else "no usable /dev/gdrdrv"
    fix = "Install gdrcopy's gdrdrv-dkms (2.5.2 or newer on kernels from 6.15 on), modprobe gdrdrv."
    return pass_if(usable, "WARN", seen, "GDRCopy's kernel module", fix)


CHECKS: dict[str, CheckFunction] = {
    "ibgda.params": for_deepep(registry_keys),
    "ibgda.gdrcopy": for_deepep(gdrcopy),
    "ibgda.mem_reg": for_deepep(memory_registration),
    "driver.kind": for_deepep(driver_kind),
}
