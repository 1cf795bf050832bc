"""Which of the known JIT caches a user means. Pure."""

from collections.abc import Sequence

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.hosts.protocol.caches import HostPack
from dsr1.launcher.caches.store import Pack


@dataclass(frozen=True, slots=True)
class CacheSelection:
    """Caches by key, and all that were changed before a time, in seconds since the epoch."""

    keys: tuple[str, ...]
    before: float

    def due(self, packs: Sequence[Pack | HostPack]) -> list[str]:
        return [pack.key for pack in packs if pack.key in self.keys or pack.changed < self.before]


def choose_packs(packs: Sequence[Pack], keys: Sequence[str]) -> list[Pack]:
    """In the order of `keys`; without any, all packs."""
    refuse_unknown(keys, packs, "is kept here")
    known = {pack.key: pack for pack in packs}
    return [known[key] for key in keys] or list(packs)


def refuse_unknown(keys: Sequence[str], packs: Sequence[Pack | HostPack], where: str) -> None:
    known = {pack.key for pack in packs}
    if missing := [key for key in keys if key not in known]:
        raise InputError(f"no cache {', '.join(missing)} {where}; `dsr1 cache ls` lists the keys")
