"""How often ranks are looked at, how patiently, and what is made of their answers."""

from collections.abc import Sequence
from typing import Protocol

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.http import HttpGet, HttpGot


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """Of a run. `interval_s`: seconds between two samples; `patience` bad ones in a row are a
    failure. `answers`: ranks are asked while they serve. `compares`: their answers mean something.
    `known`: before it is ready, ranks are asked a question with a known answer, too."""

    interval_s: float = 10.0
    patience: int = 3
    answers: bool = True
    compares: bool = True
    known: bool = False

    @property
    def read_s(self) -> float:
        """How long a server may take to say how it is."""
        return min(5.0, max(1.0, self.interval_s))

    @property
    def ask_s(self) -> float:
        """Seconds from one question to an idle rank to the next, so that its answer is there
        within `every` of the recipe."""
        return self.interval_s * max(1, self.patience - 1)


class AsksAgents(Protocol):
    """The agents of a run."""

    def get(self, host: str, gets: Sequence[HttpGet], /) -> tuple[HttpGot, ...]:
        """HostError: the host's agent can't be asked now."""
