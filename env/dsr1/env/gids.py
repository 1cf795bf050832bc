"""Which entry of a RoCE port's GID table to send from, and which one libraries take by themselves.
Pure."""

from collections.abc import Iterable, Sequence

from dsr1.env.hca import Hca
from dsr1.hosts.protocol.facts.adapters import Gid

ETHERNET = "Ethernet"
ROCE_2, MAPPED = "RoCE v2", "0000:0000:0000:0000:0000:ffff:"
LINK_LOCAL, LINK_LOCAL_4 = "fe80:", f"{MAPPED}a9fe:"  # 169.254/16


def is_ethernet(hca: Hca) -> bool:
    return hca.port.link_layer == ETHERNET


def automatic(gids: Sequence[Gid]) -> int:
    """NCCL since 2.21 and NVSHMEM since 3.1: the first entry of RoCE v2 and IPv4, else the first of
    the table."""
    return next((gid.index for gid in gids if gid.kind == ROCE_2 and gid.gid.startswith(MAPPED)), 0)


def routable(gids: Sequence[Gid]) -> tuple[Gid, ...]:
    """RoCE v2, of an interface that is here, and no link-local address; IPv4 before IPv6."""
    fit = [gid for gid in gids if gid.kind == ROCE_2 and gid.netdev and not _is_link_local(gid)]
    return tuple(sorted(fit, key=lambda gid: (not gid.gid.startswith(MAPPED), gid.index)))


def _is_link_local(gid: Gid) -> bool:
    return gid.gid.startswith((LINK_LOCAL, LINK_LOCAL_4))


def forced_index(hcas: Iterable[Hca]) -> int | None:
    """The index to force. None: every choice by itself is right, or no one index fits all ports."""
    ports = [hca.port.gids for hca in hcas if is_ethernet(hca)]
    if all(_is_right(gids) for gids in ports):
        return None
    common = set.intersection(*({gid.index for gid in routable(gids)} for gids in ports))
    return min(common, default=None)


def _is_right(gids: Sequence[Gid]) -> bool:
    return automatic(gids) in [gid.index for gid in routable(gids)]
