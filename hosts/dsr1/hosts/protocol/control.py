"""An agent's unix socket: it is in its folder, reached however long the folder's path is."""

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
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _short_path(folder) as path:
        listener.bind(path)
        Path(path).chmod(0o600)
    listener.listen(16)
    listener.setblocking(False)
    return listener


def connect_to_socket(folder: Path) -> socket.socket | None:
    """None: no agent listens there."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short_path(folder) as path:
            connection.connect(path)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        connection.close()
        return None
    return connection
