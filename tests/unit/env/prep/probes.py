"""A host that is fit, as it is told, and what is decided of it."""

from collections.abc import Sequence
from dataclasses import replace

from dsr1.env.prep.decide import IDS, Preparation, decide
from dsr1.hosts.protocol.prep import Driver, FileState, Gpus, HostProbe, Memory, Session

GIB = 2**30
KEYS = (("EnableStreamMemOPs", "1"), ("RegistryDwords", "PeerMappingOverride=1;"))
FIT = HostProbe(
    system="Ubuntu 24.04",
    family="debian",
    session=Session("ml", 1000, ("ml", "gpu"), "ssh", -1, 1048576, -1),
    memory=Memory(2000 * GIB, 1000 * GIB),
    gpus=Gpus(8, (1,) * 8),
    driver=Driver(KEYS, dma_buf=True),
    adapters=8,
    loaded=("nvidia", "nvidia_uvm", "gdrdrv", "mlx5_ib", "ib_uverbs", "rdma_ucm"),
    available=("gdrdrv", "nvidia_peermem"),
    files=(
        FileState(
            "/etc/modprobe.d/nvidia.conf", "file", "options nvidia NVreg_EnableStreamMemOPs=1\n"
        ),
    ),
    sysctls=(
        ("kernel.numa_balancing", "0"),
        ("kernel.pid_max", "4194304"),
        ("net.ipv4.ip_local_port_range", "32768\t60999"),
        ("net.ipv4.ip_local_reserved_ports", ""),
        ("fs.nr_open", "1073741816"),
    ),
    services=(),
    tools=("update-initramfs", "nvidia-smi", "systemctl"),
)
READY = 'options nvidia NVreg_EnableStreamMemOPs=1 NVreg_RegistryDwords="PeerMappingOverride=1;"\n'


def with_file(seen: HostProbe, path: str, text: str) -> HostProbe:
    kept = tuple(file for file in seen.files if file.path != path)
    return replace(seen, files=(*kept, FileState(path, "file", text)))


FIT = with_file(FIT, "/etc/modprobe.d/nvidia.conf", READY)
NEEDY = replace(FIT, session=replace(FIT.session, memlock=65536, nofile=1024))


def after(seen: HostProbe, *ids: str, ports: Sequence[int] = (8000, 20003)) -> dict[str, str]:
    """New texts by path."""
    return {edit.path: edit.after for edit in decide("h", seen, ports, ids or IDS).steps.edits}


def notes(made: Preparation, *verdicts: str) -> list[tuple[str, str]]:
    return [
        (finding.check, finding.seen) for finding in made.findings if finding.verdict in verdicts
    ]


def commands(made: Preparation) -> list[str]:
    return [" ".join(command.do) for command in made.steps.commands]
