"""JIT caches of a host, as its agent describes them."""

from dsr1.hosts.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class HostPack:
    """What a host has of a key. `digest` is of names and sizes; `changed` is when it was last added
    to, in seconds since the epoch."""

    key: str
    files: int
    bytes: int
    digest: str
    changed: float
