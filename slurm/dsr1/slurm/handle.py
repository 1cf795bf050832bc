"""How a run in a job is called: slurm://CLUSTER/JOB. Pure."""

import re
from dataclasses import field

from dsr1.hosts.dataclass import dataclass

_HANDLE = re.compile(r"slurm://([A-Za-z0-9_.-]{1,64})/([0-9]{1,10})")


@dataclass(frozen=True, slots=True)
class JobHandle:
    """A job of a cluster, by its number. Slurm gives numbers away again, so a run keeps its job's
    `name`, too, which nobody else's has. Empty: not known, as of a handle that a user typed."""

    cluster: str
    job: str
    name: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"slurm://{self.cluster}/{self.job}"


def parse_handle(text: str) -> JobHandle | None:
    """None: it is no handle."""
    found = _HANDLE.fullmatch(text)
    return JobHandle(found[1], found[2]) if found else None
