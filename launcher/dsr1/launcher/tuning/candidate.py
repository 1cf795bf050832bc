"""A deployment that may be tried: engines of a recipe, each in a mapping, with replicas. Pure."""

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.layout.topology import GPUS_PER_NODE
from dsr1.launcher.tuning.mapping.convert import KeyChange
from dsr1.launcher.tuning.mapping.label import ParallelMapping


@dataclass(frozen=True, slots=True)
class EnginePart:
    """`sequences` and `kv_tokens` are what a rank may hold; 0: not known."""

    engine: str
    role: str
    mapping: ParallelMapping
    replicas: int
    sequences: int = 0
    kv_tokens: int = 0

    @property
    def ranks(self) -> int:
        return self.replicas * self.mapping.data

    @property
    def gpus(self) -> int:
        return self.replicas * self.mapping.gpus

    @property
    def label(self) -> str:
        times = f"{self.replicas}x" if self.replicas > 1 else ""
        return f"{times}{self.mapping.label}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """`changes` of the given recipe's keys; none: it is the given one. `knob`: what else is turned,
    of a variant."""

    parts: tuple[EnginePart, ...]
    changes: tuple[KeyChange, ...] = ()
    is_given: bool = False
    knob: str = ""

    @property
    def name(self) -> str:
        """`dep16`, `prefill 2xtep8, decode dep16 + kv fp8`."""
        roles = len(self.parts) > 1
        parts = [f"{one.engine} {one.label}" if roles else one.label for one in self.parts]
        return ", ".join(parts) + (f" + {self.knob}" if self.knob else "")

    @property
    def gpus(self) -> int:
        return sum(part.gpus for part in self.parts)

    @property
    def is_wide(self) -> bool:
        """Whether experts are dealt over several hosts. There its prediction is extrapolated: the
        all-to-all data of AIConfigurator 0.12 for vLLM ends at expert parallelism on one."""
        mappings = [part.mapping for part in self.parts]
        return any(one.experts and one.gpus > GPUS_PER_NODE for one in mappings)

    def part_of(self, role: str) -> EnginePart:
        return next(part for part in self.parts if part.role == role)
