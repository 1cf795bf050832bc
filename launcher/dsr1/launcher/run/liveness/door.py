"""Where a supervisor tells whoever connects what lives: a Unix socket in the abstract namespace, as
an agent's own. One that hangs, is gone, or is on another machine says nothing."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Mapping

from dsr1.hosts.protocol.bounded import NONSENSE
from dsr1.hosts.protocol.control import connect_to_socket, is_ours, listen_on_socket
from dsr1.hosts.protocol.marks import AgentIdentity
from dsr1.hosts.protocol.plain import parse_json

NO_HOST = "/supervisor"  # no host has such a name
ANSWER_S = 4.0  # agents are given two of these
BLOCK = 1 << 16
LivingByHost = Mapping[str, tuple[str, ...]]


def open_door(run_id: str, tell: Callable[[], LivingByHost]) -> None:
    """In a thread, as long as the process lives. Where the name is taken, as by one that hangs,
    nobody is told."""
    with contextlib.suppress(OSError):
        door = listen_on_socket(AgentIdentity(run_id, NO_HOST))
        door.setblocking(True)
        threading.Thread(target=_answer, args=(door, tell), daemon=True).start()


def _answer(door: socket.socket, tell: Callable[[], LivingByHost]) -> None:
    while True:
        with contextlib.suppress(OSError):
            line, _ = door.accept()
            with line:
                line.settimeout(ANSWER_S)
                if is_ours(line):
                    line.sendall(json.dumps(dict(tell())).encode())


def is_watched_here(run_id: str) -> bool:
    """Whether a supervisor of this machine has the run, whatever folder it has; one that hangs has
    it, too."""
    try:
        line = connect_to_socket(AgentIdentity(run_id, NO_HOST), ANSWER_S)
    except OSError:
        return True
    if line is not None:
        line.close()
    return line is not None


def ask_supervisor(run_id: str) -> dict[str, tuple[str, ...]]:
    """By host the names of the processes that live now. A host that isn't there has to be asked
    itself: all of them, where nobody answers."""
    try:
        line = connect_to_socket(AgentIdentity(run_id, NO_HOST), ANSWER_S)
        if line is None:
            return {}
        with line:
            line.settimeout(ANSWER_S)
            data = b"".join(iter(lambda: line.recv(BLOCK), b""))
        return parse_json(dict[str, tuple[str, ...]], data)
    except (OSError, *NONSENSE):
        return {}
