"""Reserves TCP ports among the agents of one user: two launches at once can't both find the same
port free."""

import contextlib
import errno
import fcntl
import os
import socket
import stat
from pathlib import Path


def ports_folder() -> Path:
    """Not below XDG_RUNTIME_DIR: it is set in some of a user's sessions and not in others (srun,
    ssh COMMAND)."""
    return Path(f"/tmp/dsr1-ports-{os.geteuid()}")


def open_folder(path: Path) -> int:
    """PermissionError: somebody else could have put it there."""
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    status = os.fstat(handle)
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
        os.close(handle)
        raise PermissionError(
            errno.EPERM, "it is not a folder that only this user can write", str(path)
        )
    return handle


class PortLocks:
    """The locks last as long as the agent, however it ends: the kernel holds them."""

    def __init__(self, run: str, folder: Path) -> None:
        self._run = run
        self._folder = folder
        self._held: dict[int, int] = {}

    def take(self, port: int) -> str:
        """Empty: the port is reserved for this agent. Otherwise the run that has it. OSError: the
        lock can't be read."""
        if port in self._held:
            return ""
        folder = open_folder(self._folder)
        try:
            file = os.open(str(port), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=folder)
        finally:
            os.close(folder)
        return self._lock(file, port)

    def _lock(self, file: int, port: int) -> str:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 256, 0).decode(errors="replace").strip()
            os.close(file)
            return holder or "another run that is just starting"
        os.ftruncate(file, 0)
        os.pwrite(file, self._run.encode(), 0)
        self._held[port] = file
        return ""


def reserved_by(port: int, folder: Path | None = None) -> str:
    """The run of this user that has it; empty: none. Asked only of a port in use: it disturbs who
    would reserve it."""
    try:
        file = os.open((folder or ports_folder()) / str(port), os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return ""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(file, 256, 0).decode(errors="replace").strip()
    finally:
        os.close(file)
    return ""


def bind_error(address: str, port: int) -> OSError | None:
    """Why the port can't be bound now.

    With SO_REUSEADDR, as Dynamo's and vLLM's servers bind: a listener still refuses, while
    connections of a run that was just stopped, which the kernel keeps for a minute, do not.
    """
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(target)
    except OSError as error:
        return error
    return None


def holder_of(port: int) -> str:
    """Who holds it, as far as this user may see."""
    try:
        import psutil  # only when a port is taken: it costs memory that an idle agent needn't have
    except ImportError:
        return "a process that only psutil could name, which this Python doesn't have"
    try:
        names = [f"pid {pid} ({psutil.Process(pid).name()})" for pid in _pids_on(port)]
    except (psutil.Error, OSError):
        names = []
    return ", ".join(names) or "a process of another user"


def _pids_on(port: int) -> list[int]:
    import psutil

    sockets = psutil.net_connections("tcp")
    return sorted({one.pid for one in sockets if one.pid and one.laddr and one.laddr.port == port})
