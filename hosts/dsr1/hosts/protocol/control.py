"""Where an agent listens: a Unix socket in the abstract namespace, so that there is no file that a
cleaner could remove, named by the agent's identity."""

import hashlib
import os
import socket
import struct

from dsr1.hosts.protocol.marks import AgentIdentity

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: unix(7)
REFUSED = "the other end of the socket belongs to another user"


def _address(identity: AgentIdentity) -> str:
    """It has 107 bytes at most, however long the names are."""
    text = f"{os.getuid()}/{identity.run_id}/{identity.host}"
    return f"\0dsr1-{hashlib.sha256(text.encode()).hexdigest()}"


def is_ours(line: socket.socket) -> bool:
    """Abstract sockets have no permissions: each side asks the kernel who the other is."""
    data = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(data)
    return bool(uid == os.getuid())


def listen_on_socket(identity: AgentIdentity) -> socket.socket:
    """OSError (EADDRINUSE): an agent of this identity listens already."""
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        door.bind(_address(identity))
    except OSError:
        door.close()
        raise
    door.listen(16)
    door.setblocking(False)
    return door


def connect_to_socket(identity: AgentIdentity, timeout_s: float = 10.0) -> socket.socket | None:
    """None: no agent of ours listens there. A hung agent's backlog may be full: TimeoutError."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(timeout_s)
    try:
        line.connect(_address(identity))
        if not is_ours(line):
            raise ConnectionRefusedError(REFUSED)
    except ConnectionRefusedError:
        line.close()
        return None
    except OSError:
        line.close()
        raise
    line.settimeout(None)
    return line
