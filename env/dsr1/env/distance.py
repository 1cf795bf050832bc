"""How far two PCI devices are from each other, as `nvidia-smi topo -m` and NCCL say it, from their
paths in sysfs."""

from enum import IntEnum

from dsr1.hosts.protocol.facts.adapters import PciPlace


class Distance(IntEnum):
    """By what lies between: one switch, several bridges, a host bridge, a NUMA node's own fabric,
    sockets."""

    PIX = 0
    PXB = 1
    PHB = 2
    NODE = 3
    SYS = 4


def distance(one: PciPlace, other: PciPlace) -> Distance:
    """SYS also where nothing is known."""
    shared = _shared(one.path, other.path)
    if shared > 1:
        behind = max(len(one.path), len(other.path)) - shared
        return (
            Distance.PIX if behind <= 2 else Distance.PXB
        )  # a switch's downstream port, and the device
    if shared == 1:
        return Distance.PHB
    return Distance.NODE if _is_known(one.numa) and one.numa == other.numa else Distance.SYS


def _shared(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """Steps from the root complex on that both take."""
    pairs = zip(one, other, strict=False)
    return next((count for count, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _is_known(numa: int | None) -> bool:
    """The kernel says -1 where it has no idea."""
    return numa is not None and numa >= 0
