"""Access control (ACS) of PCI bridges, from their configuration space: only root may read that
far."""

from collections.abc import Iterator
from pathlib import Path

from dsr1.hosts.agent.facts.reading.files import read
from dsr1.hosts.protocol.facts.fact import FactValue, Reader

BRIDGE = "0x0604"
# PCI Express base specification: extended capabilities begin at 0x100; each has its id, then where
# the next one is.
EXTENDED, ACS, CONTROL, SOURCE_VALIDATION = 0x100, 0x0D, 6, 0x1


def parse_acs(config: bytes) -> bool | None:
    """Whether it validates sources, what `lspci -vvv` shows as `SrcValid+`. None: it has no ACS.

    PermissionError: the part that has it is missing.
    """
    if len(config) <= EXTENDED:
        raise PermissionError("the configuration of PCI bridges can be read by root alone")
    for offset in _capabilities(config):
        if int.from_bytes(config[offset : offset + 2], "little") == ACS:
            return bool(config[offset + CONTROL] & SOURCE_VALIDATION)
    return None


def _capabilities(config: bytes) -> Iterator[int]:
    """Where each begins. One that points back, or out of the space, ends the list."""
    offset = EXTENDED
    while EXTENDED <= offset <= len(config) - 8 and any(config[offset : offset + 4]):
        yield offset
        following = int.from_bytes(config[offset + 2 : offset + 4], "little") >> 4
        if following <= offset:
            return
        offset = following


def acs_readers(root: Path) -> Iterator[Reader]:
    devices = root / "sys/bus/pci/devices"
    yield "pci.acs", f"{devices}/*/config", lambda: _validating(devices)


def _validating(devices: Path) -> list[FactValue]:
    """The bridges that do."""
    bridges = [
        device for device in sorted(devices.iterdir()) if read(device / "class").startswith(BRIDGE)
    ]
    return [device.name for device in bridges if parse_acs((device / "config").read_bytes())]
