"""Whether GPU n's adapter belongs to the same rail on all hosts: traffic between GPUs of one number
then crosses one switch, and no spine."""

from collections import Counter
from collections.abc import Mapping, Sequence
from ipaddress import IPv6Address

from dsr1.env.checks.adapters.cabling import Cables, cables_of, judge_cables
from dsr1.env.checks.adapters.select import selected
from dsr1.env.checks.comparing import FactsOfHosts
from dsr1.env.checks.judging import UnknownFact, Verdict, skipped, unknown
from dsr1.env.checks.requirements import Requirements
from dsr1.env.gids import is_ethernet, routable
from dsr1.env.hcas import NearestHca
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.inventory.names import name_few

CHECK = "ib.rails"
WANTED = "GPU n's adapter in the same subnet on all hosts"
LONGEST, SHORTEST, BITS = 127, 8, 128
MAPPED_BITS = 96


@dataclass(frozen=True, slots=True)
class RailPort:
    """A GPU's own port, and its address as a number of 128 bits."""

    gpu: int
    name: str
    address: int

    def subnet(self, length: int) -> int:
        return self.address >> (BITS - length)


def rails(by_host: Mapping[str, Requirements], facts: FactsOfHosts) -> dict[str, Verdict]:
    """By host. Rails are told from each other by the longest prefix that gives all hosts the same
    set of subnets, on InfiniBand by the switches."""
    ports: dict[str, tuple[RailPort, ...]] = {}
    cables: dict[str, Cables] = {}
    found: dict[str, Verdict] = {}
    for host, requirements in by_host.items():
        try:
            near = selected(requirements).choice.near if requirements.rdma else ()
            if all(is_ethernet(one.hca) for one in near):
                ports[host] = _rail_ports(near)
            else:
                cables[host] = cables_of(near, facts[host])
        except UnknownFact as error:
            found[host] = unknown(str(error))
    length = _common_length(tuple(ports.values()))
    for host, own in ports.items():
        found[host] = _judge(own, ports, length)
    found |= judge_cables(cables)
    return {host: found[host] for host in by_host}


def _rail_ports(near: Sequence[NearestHca]) -> tuple[RailPort, ...]:
    """In the order of the GPUs; none where the host sends nothing to others."""
    ports = []
    for index, one in enumerate(near):
        gid = next(iter(routable(one.hca.port.gids)), None)
        if gid is None:
            raise UnknownFact(f"{one.hca.name} has no routable address: see ib.gid")
        ports.append(RailPort(index, one.hca.name, int(IPv6Address(gid.gid))))
    return tuple(ports)


def _common_length(hosts: Sequence[tuple[RailPort, ...]]) -> int | None:
    """None: no prefix makes the hosts look alike."""
    given = [own for own in hosts if own]
    for length in range(LONGEST, SHORTEST - 1, -1):
        if all(_subnets(own, length) == _subnets(given[0], length) for own in given):
            return length
    return None


def _subnets(own: tuple[RailPort, ...], length: int) -> set[int]:
    return {port.subnet(length) for port in own}


def _judge(
    own: tuple[RailPort, ...], ports: Mapping[str, tuple[RailPort, ...]], length: int | None
) -> Verdict:
    if not own:
        return skipped("the plan sends nothing from GPUs of this host to others")
    if length is None:
        return unknown("the subnets of the adapters don't tell which rail each belongs to")
    if len(_subnets(own, length)) == 1:
        return Verdict("PASS", "all adapters are in one subnet", WANTED)
    crossed = []
    for port in own:
        usual = _usual(port.gpu, ports, length)
        if port.subnet(length) != usual:
            here, there = _text(port.subnet(length), length), _text(usual, length)
            crossed.append(f"GPU {port.gpu} {port.name} {here}, {there} on most")
    if crossed:
        fix = "Swap the cables, or the addresses; or name the adapters in order (hca)."
        return Verdict("WARN", name_few(crossed), WANTED, fix)
    return Verdict("PASS", f"{len(_subnets(own, length))} rails", WANTED)


def _usual(gpu: int, ports: Mapping[str, tuple[RailPort, ...]], length: int) -> int:
    counts = Counter(
        port.subnet(length) for own in ports.values() for port in own if port.gpu == gpu
    )
    return counts.most_common(1)[0][0]


def _text(subnet: int, length: int) -> str:
    address = IPv6Address(subnet << (BITS - length))
    if address.ipv4_mapped is not None and length >= MAPPED_BITS:
        return f"{address.ipv4_mapped}/{length - MAPPED_BITS}"
    return f"{address}/{length}"
