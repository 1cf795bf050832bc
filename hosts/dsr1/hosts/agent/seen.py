"""What an agent sees of its host before a plan exists: who the machine is, and its address and interface to a peer."""

import os
import platform
import socket
from pathlib import Path

from dsr1.hosts.identity import boot_id


def look_around(peer: str) -> dict[str, object]:
    """JSON's values. `peer` is where the leader is reached; empty: this host is it, and tells how it was reached."""
    address = source_address(peer) if peer else (os.environ.get("SSH_CONNECTION", "").split() + [""] * 3)[2]
    return {
        "boot_id": boot_id(),
        "hostname": socket.gethostname(),
        "arch": platform.machine(),
        "python": platform.python_version(),
        "gpus": len(list(Path("/dev").glob("nvidia[0-9]*"))),
        "address": address,
        "interface": interface_of(address) if address else "",
    }


def source_address(peer: str) -> str:
    """Which of our addresses the kernel would send from. Connecting a datagram socket sends nothing."""
    family, kind, protocol, _, target = socket.getaddrinfo(peer, 9, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(target)
        return str(probe.getsockname()[0])


def addresses() -> dict[str, str]:
    """Every address of this host, and the interface that owns it."""
    import psutil

    return {entry.address: name for name, entries in psutil.net_if_addrs().items() for entry in entries}


def interface_of(address: str) -> str:
    """The interface that owns an address: on the leader itself the route is by `lo`, which its peers can't reach."""
    return addresses().get(address, "")
