"""Facts of the network: the address and interface that this host's peers reach it by."""

from collections.abc import Iterator

from dsr1.hosts.facts.fact import Reader, Value


def network_readers(leader: str) -> Iterator[Reader]:
    """`leader` is an address; empty: there is nobody to talk to."""
    yield "net.control", f"route to {leader or 'no leader'}", lambda: control(leader)


def control(leader: str) -> Value:
    """On the leader itself the route is by `lo`; what counts is the interface that owns the address."""
    from dsr1.hosts.agent.seen import interface_of, source_address

    if not leader:
        return None
    address = source_address(leader)
    return {"address": address, "interface": interface_of(address)}
