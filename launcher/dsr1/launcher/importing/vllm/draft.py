"""An engine while it is being read: its keys so far, and where the manifest says each."""

from dataclasses import dataclass, field
from typing import Any, NoReturn

from dsr1.hosts.errors import InputError
from dsr1.launcher.importing.manifest.command import short
from dsr1.launcher.importing.manifest.ledger import Ledger
from dsr1.launcher.importing.manifest.services import Service
from dsr1.launcher.importing.manifest.tree import Place
from dsr1.launcher.importing.manifest.variables import Taken
from dsr1.launcher.importing.vllm.arguments import Flag


@dataclass(slots=True)
class Draft:
    """`values` are keys of the recipe's engine, `sizes` its parallel sizes, `role` what its flags
    say of it."""

    name: str
    source: str
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

    def refuse(self, flag: Flag, wanted: str) -> NoReturn:
        self.refuse_at(flag.places, f"--{flag.name} {short(flag.text)}: {wanted}")

    def refuse_at(self, places: tuple[Place, ...], why: str) -> NoReturn:
        place = places[0] if places else self.place
        raise InputError(f"{self.source}:{place.line}: {place}: {why}")


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker service that was read. `unknown` are flags that nobody knows."""

    service: Service
    draft: Draft
    taken: Taken
    unknown: tuple[Flag, ...] = ()
