"""Rules of nft that close a run's ports to everybody but its own hosts, and its control routes to
other users of a host. Pure.

What a process listens on everywhere (Dynamo's event plane, sockets of torch, gloo and NIXL) has
ports that nobody knows beforehand. So it is the answer to a stranger that is dropped, by the user
who owns the socket: a connection never begins.
"""

import ipaddress
from collections.abc import Iterable, Sequence

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.prep import CommandStep

CHECK = "net.firewall"
EPHEMERAL = "32768-65535"


@dataclass(frozen=True, slots=True)
class RunPorts:
    """Of a run: what clients are served at, and all others."""

    served: tuple[int, ...]
    closed: tuple[int, ...]


def firewall_step(uid: int, addresses: Sequence[str], ports: RunPorts) -> CommandStep:
    """`uid` is whose processes they are, `addresses` are all of the run's hosts'."""
    table = f"inet dsr1_{uid}"
    return CommandStep(
        (CHECK,),
        "the run's ports answer its own hosts alone, and its control routes its own user",
        ("nft", render_rules(uid, addresses, ports)),
        ("nft", f"delete table {table}"),
    )


def render_rules(uid: int, addresses: Sequence[str], ports: RunPorts) -> str:
    """In one transaction in the place of what was there. Root's own ephemeral ports are left
    alone: the system's daemons have some."""
    table = f"table inet dsr1_{uid}"
    closed = _set((*map(str, ports.closed), *(() if uid == 0 else (EPHEMERAL,))))
    served = f"tcp sport != {_set(map(str, ports.served))} " if ports.served else ""
    answer = (
        f'meta skuid {uid} oifname != "lo" tcp flags & (syn | ack) == syn | ack'
        f" {served}tcp sport {closed}"
    )
    others = f'oifname "lo" meta skuid != {_set(("0", str(uid)))}'
    own = _set(map(str, ports.closed))
    lines = (
        f"{table}; delete {table};",
        f"{table} {{ chain answers {{ type filter hook output priority 0; policy accept;",
        f"{answer} {_stranger('ip', 4, addresses)} drop;",
        f"{answer} {_stranger('ip6', 6, addresses)} drop;",
        f"{others} tcp dport {own} reject with tcp reset; }}; }}",
    )
    return " ".join(lines)


def _stranger(family: str, version: int, addresses: Iterable[str]) -> str:
    parsed = {ipaddress.ip_address(address.partition("%")[0]) for address in addresses}
    own = sorted(str(one) for one in parsed if one.version == version)
    return f"{family} daddr != {_set(own)}" if own else f"meta nfproto ipv{version}"


def _set(items: Iterable[str]) -> str:
    return f"{{ {', '.join(dict.fromkeys(items))} }}"
