"""What is known of RDMA adapters, where GPUs sit and network interfaces: data only, the same on a
host and here.

Empty text and None: it could not be read. Names are the kernel's, and may be anything.
"""

import json
import re
from dataclasses import asdict
from typing import Any

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.facts.fact import FactValue

DMA_BUF = (5, 12)  # the kernel hands memory of one device to another from then on


def has_dma_buf(open_driver: bool, release: str) -> bool:
    """Whether adapters reach a GPU's memory by the kernel's own means: the driver's half, and the
    kernel's."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return open_driver and found is not None and (int(found[1]), int(found[2])) >= DMA_BUF


@dataclass(frozen=True, slots=True)
class PciPlace:
    """Where a device sits: `path` leads from its root complex (`pci0000:15`) through bridges to
    `pci`, itself."""

    pci: str
    path: tuple[str, ...] = ()
    numa: int | None = None


@dataclass(frozen=True, slots=True)
class PciLink:
    """A device's PCI link now, and the most that it can: lanes, and GT/s a lane."""

    width: int | None = None
    width_max: int | None = None
    speed: float | None = None
    speed_max: float | None = None


@dataclass(frozen=True, slots=True)
class Gid:
    """A valid entry of a port's table. `kind`: `RoCE v2`, `IB/RoCE v1`."""

    index: int
    gid: str
    kind: str
    netdev: str


@dataclass(frozen=True, slots=True)
class Port:
    """`lid` and `sm_lid` have a meaning with InfiniBand alone, `gids` with RoCE."""

    number: int
    state: str
    phys_state: str
    link_layer: str
    rate_gb: float | None
    lid: int | None = None
    sm_lid: int | None = None
    gids: tuple[Gid, ...] = ()
    counters: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Adapter:
    """An RDMA device. `model` is the kernel's hca_type, `verbs` its node in /dev/infiniband.

    `is_vf`: a virtual function whose physical one is visible here, too; within a virtual machine it
    isn't.
    """

    name: str
    place: PciPlace
    link: PciLink
    driver: str
    model: str
    firmware: str
    is_vf: bool
    verbs: str
    netdevs: tuple[str, ...]
    ports: tuple[Port, ...]


@dataclass(frozen=True, slots=True)
class Netdev:
    """A network interface. `kind` is the kernel's type: 1 Ethernet, 32 InfiniBand, 772 loopback.
    `lowers` are those below it, as the members of a bond. `speed_mb`: Mb/s.
    """

    name: str
    state: str
    kind: int | None
    mtu: int | None
    speed_mb: int | None
    carrier_changes: int | None = None
    lowers: tuple[str, ...] = ()


def to_value(record: Any) -> FactValue:
    """As JSON carries it: tuples are lists."""
    value: FactValue = json.loads(json.dumps(asdict(record)))
    return value
