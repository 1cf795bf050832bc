"""ACS of PCI bridges, from their configuration space."""

from pathlib import Path

import pytest

from dsr1.hosts.agent.facts.fabric.acs import acs_readers, parse_acs
from dsr1.hosts.protocol.facts.fact import observe

AER, ACS = 0x0001, 0x000D


def config(*capabilities: tuple[int, int, int, int]) -> bytes:
    """(place, id, next, control register) of each extended capability."""
    space = bytearray(4096)
    for place, kind, following, control in capabilities:
        space[place : place + 4] = kind.to_bytes(2, "little") + (following << 4 | 1).to_bytes(
            2, "little"
        )
        space[place + 6] = control
    return bytes(space)


@pytest.mark.parametrize(
    ("space", "found"),
    [
        (config((0x100, AER, 0x150, 0), (0x150, ACS, 0, 0x1D)), True),
        (config((0x100, ACS, 0, 0x1C)), False),
        (config((0x100, AER, 0, 0)), None),
        (config(), None),
        (config((0x100, AER, 0x100, 0)), None),
        (config((0x100, AER, 0xFFF, 0)), None),
        (b"\xff" * 4096, None),
    ],
)
def test_what_a_bridge_says(space: bytes, found: bool | None) -> None:
    assert parse_acs(space) is found


def test_only_root_sees_it(tmp_path: Path) -> None:
    for name, kind in (("0000:15:01.0", "0x060400"), ("0000:1b:00.0", "0x030200")):
        device = tmp_path / "sys/bus/pci/devices" / name
        device.mkdir(parents=True)
        (device / "class").write_text(f"{kind}\n")
        (device / "config").write_bytes(config((0x100, ACS, 0, 1)))
    assert observe(acs_readers(tmp_path))["pci.acs"].value == ["0000:15:01.0"]
    (tmp_path / "sys/bus/pci/devices/0000:15:01.0/config").write_bytes(bytes(64))
    assert "root alone" in observe(acs_readers(tmp_path))["pci.acs"].problem
