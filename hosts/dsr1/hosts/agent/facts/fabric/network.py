"""Facts of the network: ports in use, ports that outgoing connections take, names, the route to the
leader."""

import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from dsr1.hosts.agent.facts.reading.children import ChildResult, aside, begin_in_child
from dsr1.hosts.agent.facts.reading.files import read, read_int, read_or
from dsr1.hosts.agent.network.ports import holder_of, reserved_by
from dsr1.hosts.protocol.facts.fact import FactValue, Reader, reason_of
from dsr1.hosts.protocol.facts.port_ranges import parse_range, parse_reserved
from dsr1.hosts.protocol.facts.request import FactsRequest

LISTEN, RESOLVE_S = "0A", 3.0
ETCD_PORT, ETCD_S, MOST_ANSWER = 2379, 3.0, 4096
VERSION = re.compile(r'"etcdserver"\s*:\s*"([0-9.]{1,20})')
HEALTHY = re.compile(r'"health"\s*:\s*"?true')


def parse_listening(text: str) -> list[tuple[int, int]]:
    """/proc/net/tcp and tcp6: (port, uid) of every socket that listens."""
    rows = [line.split() for line in text.splitlines()[1:]]
    return [(int(row[1].rpartition(":")[2], 16), int(row[7])) for row in rows if row[3] == LISTEN]


def network_readers(root: Path, request: FactsRequest) -> Iterator[Reader]:
    net, settings = root / "proc/net", root / "proc/sys/net/ipv4"
    yield "net.listening", f"{net}/tcp, tcp6", lambda: _listening(net, request.ports)
    outgoing, lowest = settings / "ip_local_port_range", settings / "ip_unprivileged_port_start"
    yield "net.ephemeral", str(settings), lambda: [*parse_range(read(outgoing))]
    yield "net.reserved", str(settings), lambda: _reserved(settings / "ip_local_reserved_ports")
    yield "net.unprivileged", str(settings), lambda: read_int(lowest)


def resolver_readers(request: FactsRequest) -> list[Reader]:
    """They begin here: a name server that is gone makes each name wait for it."""
    source = f"route to {request.leader or 'no leader'}"
    readers = aside([("net.control", source, lambda: control(request.leader))], RESOLVE_S)
    if request.peers:
        names = begin_in_child(lambda: resolve(request.peers), RESOLVE_S)
        readers.append(("net.resolved", "getaddrinfo", lambda: _by_name(request.peers, names())))
    if request.etcd:
        health = begin_in_child(
            lambda: map(etcd_problem, request.etcd), ETCD_S * (len(request.etcd) + 1)
        )
        readers.append(("net.etcd", "GET /health", lambda: _by_name(request.etcd, health())))
        told = begin_in_child(
            lambda: map(etcd_version, request.etcd), ETCD_S * (len(request.etcd) + 1)
        )
        readers.append(("net.etcd_version", "GET /version", lambda: _told(request.etcd, told())))
    return readers


def etcd_problem(url: str) -> str:
    """Empty: it is healthy. One that asks for a certificate is only connected to."""
    try:
        answer = _ask_etcd(url, "/health")
    except (OSError, ValueError) as error:
        return reason_of(error)
    if answer is None or HEALTHY.search(answer):
        return ""
    return f"says {answer.splitlines()[-1][:80] if answer else 'nothing'}"


def etcd_version(url: str) -> str:
    """Empty: it doesn't tell."""
    try:
        found = VERSION.search(_ask_etcd(url, "/version") or "")
    except (OSError, ValueError):
        return ""
    return found[1] if found else ""


def _ask_etcd(url: str, path: str) -> str | None:
    """None: it asks for a certificate."""
    server = urlsplit(url if "://" in url else f"http://{url}")
    address = (server.hostname or "", server.port or ETCD_PORT)
    with socket.create_connection(address, timeout=ETCD_S) as line:
        if server.scheme == "https":
            return None
        line.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        with line.makefile("rb") as response:
            return response.read(MOST_ANSWER).decode(errors="replace")


def _told(urls: Sequence[str], result: ChildResult) -> FactValue:
    missing = [""] * (len(urls) - len(result.values))
    return dict(zip(urls, [*result.values, *missing], strict=True))


def _by_name(names: Sequence[str], result: ChildResult) -> FactValue:
    """The value of each name; of those that weren't come to, the reason as a string."""
    missing = [result.problem] * (len(names) - len(result.values))
    return dict(zip(names, [*result.values, *missing], strict=True))


def resolve(names: Sequence[str]) -> Iterator[FactValue]:
    for name in names:
        try:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            yield reason_of(error)
        else:
            yield [*sorted({str(address[4][0]) for address in found})]


def _listening(net: Path, planned: Sequence[int]) -> FactValue:
    """By port, who holds it: in full for those of the plan, else the number of the user."""
    found = parse_listening(read(net / "tcp")) + parse_listening(read_or(net / "tcp6"))
    return {str(port): _holder(port) if port in planned else f"uid {uid}" for port, uid in found}


def _holder(port: int) -> str:
    run = reserved_by(port)
    return f"run {run}, {holder_of(port)}" if run else holder_of(port)


def _reserved(file: Path) -> FactValue:
    return [[low, high] for low, high in parse_reserved(read(file))]


def control(leader: str) -> FactValue:
    """On the leader itself the route is by `lo`; what counts is the interface that owns the
    address."""
    from dsr1.hosts.agent.network.introduction import interface_of, source_address

    if not leader:
        return None
    address = source_address(leader)
    return {"address": address, "interface": interface_of(address)}
