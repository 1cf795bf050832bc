"""A port of an adapter, as something to send by; and how people name and count them. Pure."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from dsr1.env.fabric import FabricFacts
from dsr1.hosts.protocol.facts.adapters import Adapter, Port


@dataclass(frozen=True, slots=True, eq=False)
class Hca:
    """A port to send by, one object for each: they are compared as such."""

    adapter: Adapter
    port: Port

    @property
    def name(self) -> str:
        """As NCCL, UCX and NVSHMEM want it."""
        return f"{self.adapter.name}:{self.port.number}"

    @property
    def is_up(self) -> bool:
        return (self.port.state, self.port.phys_state) == ("ACTIVE", "LinkUp")


def all_ports(fabric: FabricFacts) -> list[Hca]:
    """In the order that people count: mlx5_2 before mlx5_10."""
    adapters = sorted(fabric.adapters, key=lambda adapter: natural(adapter.name))
    return [Hca(adapter, port) for adapter in adapters for port in adapter.ports]


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """Digits count as numbers."""
    return tuple(
        (int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name[:64])
    )


def matches(hca: Hca, word: str) -> bool:
    return fnmatchcase(hca.adapter.name, word) or fnmatchcase(hca.name, word)
