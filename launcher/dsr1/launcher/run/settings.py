"""What is settled with a launch, beside the plan."""

from collections.abc import Mapping
from dataclasses import field

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.facts.fact import Facts
from dsr1.launcher.health.settings import HealthSettings
from dsr1.launcher.layout.pinned import Pins
from dsr1.launcher.run.ranks import phase_limits
from dsr1.launcher.smoke.access import NO_ACCESS, FrontendAccess


@dataclass(frozen=True, slots=True)
class HookSettings:
    """Commands by the phase that they are for."""

    commands: dict[str, tuple[str, ...]] = field(default_factory=dict)
    timeout_s: float = 20.0


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What the supervisor needs beside the plan. Seconds. Without `hosts` the agents are on this
    machine.

    `machines` are the hosts of the plan, `spares` those that may take a place, `replaced` the names
    of those that lost theirs: something of the run may have stayed on them. `checks` are those of
    the launch. `within_s`: in any so long a time there are `restarts` at most; None: in all.
    `engine_scope`: an engine that ends is restarted alone; one that is ended on purpose has
    `drain_s` for its requests. `pins`: where the engines are on the machines, once that isn't what
    the recipe alone would make of them. `access` is made of the run's secrets, and never written
    with these.
    """

    python: str
    prepare_s: float
    ready_s: float
    importing_s: float
    loading_s: float
    compiling_s: float
    chat_s: float
    lost_s: float
    restarts: int
    backoff_s: float
    hosts: tuple[Access, ...] = ()
    machines: tuple[Host, ...] = ()
    spares: tuple[Host, ...] = ()
    replaced: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    within_s: float | None = None
    orphans: str = "keep"
    orphaned_s: float = 600.0
    log_most_bytes: int = 0
    log_keep: int = 2
    health: HealthSettings = field(default_factory=HealthSettings)
    hooks: HookSettings = field(default_factory=HookSettings)
    engine_scope: bool = False
    drain_s: float = 60.0
    pins: Pins | None = None
    access: FrontendAccess = NO_ACCESS

    @property
    def limits(self) -> dict[str, float]:
        """Seconds that a rank may stay in each phase."""
        return phase_limits(self.importing_s, self.loading_s, self.compiling_s)


@dataclass(frozen=True, slots=True)
class RunSecrets:
    """What a run keeps from its beginning: secrets by file name, and the facts that it was planned
    from, by host."""

    secrets: Mapping[str, str]
    facts: Mapping[str, Facts]
