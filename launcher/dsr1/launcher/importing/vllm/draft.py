"""An engine while it is being read: its keys so far, and where the manifest says each."""

from dataclasses import field
from typing import Any, NoReturn

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.importing.manifest.ledger import Ledger
from dsr1.launcher.importing.manifest.services import GraphService
from dsr1.launcher.importing.manifest.tree import Place, refuse
from dsr1.launcher.importing.manifest.variables import SortedVariables
from dsr1.launcher.importing.shell.secrecy import quoted
from dsr1.launcher.importing.vllm.arguments import Flag


@dataclass(slots=True)
class EngineDraft:
    """`values` are keys of the recipe's engine, `sizes` its parallel sizes, `role` what its flags
    say."""

    name: str
    ledger: Ledger
    place: Place
    values: dict[str, Any] = field(default_factory=dict)
    args: dict[str, Any] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    eplb: dict[str, Any] = field(default_factory=dict)
    dbo: dict[str, Any] = field(default_factory=dict)
    places: dict[str, tuple[Place, ...]] = field(default_factory=dict)
    role: str = ""
    model: Flag | None = None
    served: Flag | None = None

    @property
    def key(self) -> str:
        return f"engines.{self.name}"

    def put(self, key: str, value: Any, *places: Place) -> None:
        """Set a key from these places, word for word."""
        self.values[key] = value
        self.places[key] = places
        self.ledger.use(f"{self.key}.{key}", *places)

    def rewrite(self, key: str, value: Any, text: str, *places: Place) -> None:
        """Set a key to what these places say in another spelling."""
        self.values[key] = value
        self.places[key] = places
        self.ledger.rewrite(text, f"{self.key}.{key}", *places)

    def refuse(self, flag: Flag, why: str) -> NoReturn:
        self.refuse_at(flag.places, f"--{flag.name} {quoted(flag.text)}: {why}")

    def refuse_at(self, places: tuple[Place, ...], why: str) -> NoReturn:
        refuse(places[0] if places else self.place, why)


@dataclass(frozen=True, slots=True)
class WorkerDraft:
    """A worker service that was read. `unknown` are flags that nobody knows."""

    service: GraphService
    draft: EngineDraft
    variables: SortedVariables
    unknown: tuple[Flag, ...] = ()
