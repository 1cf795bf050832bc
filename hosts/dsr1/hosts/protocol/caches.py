"""JIT caches of a host, as its agent describes them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HostPack:
    """What a host has of a key. `digest` is of names and sizes; `changed` is when it was last added
    to, in seconds since the epoch."""

    key: str
    files: int
    bytes: int
    digest: str
    changed: float


@dataclass(frozen=True, slots=True)
class MergeCounts:
    """Files that a pack added to a cache, and those that the cache had."""

    added: int = 0
    kept: int = 0
