"""What is kept of a layout while it is changed. It loads no recipe: every verb reads it with a
run's settings."""

from dataclasses import replace

from dsr1.hosts.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class EnginePorts:
    """First ports of an engine's blocks. `kv_events` and `nixl` + global DP rank; the others by
    process of a machine.

    A process has one `system` port, and two of `kvbm`: see `kvbm_ports`.
    """

    rpc: int
    system: int
    kv_events: int
    nixl: int
    kvbm: int


@dataclass(frozen=True, slots=True)
class PinnedNode:
    """`host` is the number of its host among the deployment's; `picked` as in PortPlan."""

    host: int
    local_size: int
    devices: tuple[int, ...]
    machine_ranks: int
    picked: int


@dataclass(frozen=True, slots=True)
class PinnedEngine:
    """One engine, or one replica of it. `end` is the first port behind all of its ports."""

    name: str
    engine: str
    nodes: tuple[PinnedNode, ...]
    ports: EnginePorts
    end: int


@dataclass(frozen=True, slots=True)
class Pins:
    """All engines. Frontends are dealt over the first `fronts` hosts."""

    engines: tuple[PinnedEngine, ...]
    fronts: int

    def of(self, engine: str) -> tuple[PinnedEngine, ...]:
        """By its key in the recipe."""
        return tuple(one for one in self.engines if one.engine == engine)

    def without(self, name: str) -> "Pins":
        return replace(self, engines=tuple(one for one in self.engines if one.name != name))
