"""What IBGDA, NVSHMEM's transport that GPUs drive, needs of a host, and what NVSHMEM does without.
Pure."""

import re
from collections.abc import Mapping

from dsr1.env.versions import version_numbers
from dsr1.hosts.protocol.facts.fact import Facts, value_of
from dsr1.hosts.protocol.process import Variable

# NVSHMEM's release notes: 3.0.6 falls back to the CPU through GDRCopy, 3.4.5 through host memory
# too.
WITH_GDRCOPY, WITH_HOST_MEMORY = (3, 0, 6), (3, 4, 5)
OVERRIDE = re.compile(r"(?:^|;)\s*PeerMappingOverride\s*=\s*(?:0x)?0*1\s*(?:;|$)")
WITH_NVSHMEM = ("deepep_low_latency", "deepep_high_throughput")  # deepep_v2 goes by NCCL
NVSHMEM_PACKAGES = ("nvidia-nvshmem-cu13", "nvidia-nvshmem-cu12")


def has_regkeys(params: Mapping[str, object]) -> bool:
    """Of the loaded module: with both, GPUs may ring an adapter's doorbell."""
    return params.get("EnableStreamMemOPs") == "1" and bool(
        OVERRIDE.search(str(params.get("RegistryDwords")))
    )


def handler(nvshmem: tuple[int, ...], gdrcopy: bool) -> str:
    """NVSHMEM_IBGDA_NIC_HANDLER's word for what rings the doorbell without the keys; empty: nothing
    can."""
    if gdrcopy and nvshmem >= WITH_GDRCOPY:
        return "cpu"
    return "cpu_host_memory" if nvshmem >= WITH_HOST_MEMORY else ""


def nvshmem_version(packages: Mapping[str, object]) -> tuple[int, ...]:
    """Empty: not installed, or not by a package that we know."""
    text = next((str(packages[name]) for name in NVSHMEM_PACKAGES if name in packages), "")
    return version_numbers(text)


def doorbell(facts: Facts) -> tuple[Variable, ...]:
    """What rings it where GPUs may not; named, since NVSHMEM's own search tries the GPU first."""
    params, packages, gdrcopy = (
        value_of(facts, name) for name in ("nvidia.params", "software", "gdrcopy.usable")
    )
    if not isinstance(params, dict) or not isinstance(packages, dict) or has_regkeys(params):
        return ()
    word = handler(nvshmem_version(packages), gdrcopy is True)
    source = (
        "the loaded driver lacks the keys that let a GPU do it; this NVSHMEM has another way"
        " (facts)"
    )
    return (Variable("NVSHMEM_IBGDA_NIC_HANDLER", word, source),) if word else ()
