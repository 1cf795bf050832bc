"""How a run in a job is called: slurm://CLUSTER/JOB. Pure."""

import re
from dataclasses import dataclass

_HANDLE = re.compile(r"^slurm://([A-Za-z0-9_.-]+)/(\d+)$")


@dataclass(frozen=True, slots=True)
class JobHandle:
    """A job of a cluster."""

    cluster: str
    job: str

    def __str__(self) -> str:
        return f"slurm://{self.cluster}/{self.job}"


def parse_handle(text: str) -> JobHandle | None:
    """None: it is no handle."""
    found = _HANDLE.match(text)
    return JobHandle(found[1], found[2]) if found else None
