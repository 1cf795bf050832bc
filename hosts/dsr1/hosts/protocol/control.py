"""The agent's door: a unix socket in its folder, reached however long the folder's path is."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

NAME = "control.sock"


@contextlib.contextmanager
def _short_path(folder: Path) -> Iterator[str]:
    """A socket's path may have 107 bytes (unix(7)); through an open folder it is always short."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}/{NAME}"
    finally:
        os.close(handle)


def listen_on_socket(folder: Path) -> socket.socket:
    """The folder is 0700, so nobody else comes near between bind and chmod."""
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _short_path(folder) as path:
        door.bind(path)
        Path(path).chmod(0o600)
    door.listen(16)
    door.setblocking(False)
    return door


def connect_to_socket(folder: Path) -> socket.socket | None:
    """None: no agent listens there."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short_path(folder) as path:
            line.connect(path)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        line.close()
        return None
    return line
