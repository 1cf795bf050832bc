"""Joins stdin and stdout to an agent's socket, so that any byte stream (SSH, srun) can carry events
and commands."""

import os
import select
import socket

from dsr1.hosts.protocol.codec import render_command
from dsr1.hosts.protocol.commands import Subscribe

PIECE = 65536


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def bridge(line: socket.socket, since: int, source: int = 0, sink: int = 1) -> None:
    """Until the source is at its end, the sink is closed, or the agent has quit."""
    line.sendall(render_command(Subscribe(since)))
    while True:
        ready = select.select([source, line.fileno()], [], [])[0]
        if line.fileno() in ready:
            if not (told := line.recv(PIECE)):
                return
            _write_all(sink, told)
        if source in ready:
            if not (asked := os.read(source, PIECE)):
                return
            line.sendall(asked)
