"""Who a host is, before a plan exists: the machine, and its address and
interface to a peer.

Every launch begins with it on every host, so it imports little.
"""

import os
import socket
import struct
from collections.abc import Mapping

from dsr1.hosts.protocol.boot import boot_id

SIOCGIFADDR = 0x8915  # linux/sockios.h, netdevice(7): an interface's first IPv4 address


def introduce_host(peer: str) -> dict[str, object]:
    """JSON's values. `peer` is where the leader is reached; empty: this host is it, and its
    address is the one that it was reached by."""
    address = source_address(peer) if peer else reached_at(os.environ)
    return {
        "boot_id": boot_id(),
        "arch": os.uname().machine,
        "gpus": sum(name[:6] == "nvidia" and name[6:].isdigit() for name in os.listdir("/dev")),  # noqa: PTH208
        "address": address,
        "interface": interface_of(address) if address else "",
    }


def reached_at(env: Mapping[str, str]) -> str:
    """A step of Slurm's knows where it was launched from, which is the leader; SSH's variable came
    along with it."""
    return (
        env.get("SLURM_LAUNCH_NODE_IPADDR") or (env.get("SSH_CONNECTION", "").split() + [""] * 3)[2]
    )


def source_address(peer: str) -> str:
    """Which of our addresses the kernel would send from. Connecting a datagram socket sends
    nothing."""
    family, kind, protocol, _, target = socket.getaddrinfo(peer, 9, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(target)
        return str(probe.getsockname()[0])


def interface_of(address: str) -> str:
    """The interface that owns an address: on the leader itself the route is by `lo`, which its
    peers can't reach."""
    return first_addresses().get(address) or interface_addresses().get(address, "")


def first_addresses() -> dict[str, str]:
    """The first IPv4 address of each interface: all that most hosts have, and quick to ask for."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        found = {_first_address(probe, name): name for _, name in socket.if_nameindex()}
    return {address: name for address, name in found.items() if address}


def _first_address(probe: socket.socket, interface: str) -> str:
    import fcntl

    try:
        reply = fcntl.ioctl(probe.fileno(), SIOCGIFADDR, struct.pack("256s", interface.encode()))
    except OSError:
        return ""
    return socket.inet_ntoa(reply[20:24])


def interface_addresses() -> dict[str, str]:
    """Every address of this host, and the interface that owns it."""
    import psutil

    return {
        entry.address: name for name, entries in psutil.net_if_addrs().items() for entry in entries
    }
