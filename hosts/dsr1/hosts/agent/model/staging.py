"""A folder that a model comes into: what isn't whole yet lies in a folder within, and one job at a
time works there.

A file gets its final name by rename, when it is whole and its hash is right.
"""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from dsr1.hosts.agent.facts.model.shards import WORK
from dsr1.hosts.agent.facts.reading.mounts import free_bytes, nearest
from dsr1.hosts.protocol.jobs.messages import JobRefused, render_size

SPARE = 1.01  # of what is wanted: directories and the file system's own tables want some, too


@contextlib.contextmanager
def staging_folder(folder: Path) -> Iterator[Path]:
    """The folder for what isn't whole. Refused: another job works there, or it can't be written
    to."""
    work = folder / WORK
    try:
        work.mkdir(parents=True, exist_ok=True)
        lock = (work / "lock").open("a+")
    except OSError as error:
        raise JobRefused(
            "check", f"{folder}: can't be written to by uid {os.geteuid()}: {error.strerror}"
        ) from None
    with lock:
        _take(lock.fileno(), work / "lock", folder)
        yield work
        with contextlib.suppress(
            OSError
        ):  # parts that a later job goes on with may still lie there
            (work / "lock").unlink()
            work.rmdir()


def _take(lock: int, file: Path, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = file.read_text(errors="replace").strip() or "somebody"
        raise JobRefused(
            "work", f"{folder}: {holder} puts a model there now; wait for it, or end it"
        ) from None
    except OSError:  # Lustre without -o flock: then nobody watches over it
        return
    os.ftruncate(lock, 0)
    os.write(lock, f"process {os.getpid()} of {socket.gethostname()}\n".encode())


def partial_file(work: Path, name: str) -> Path:
    return work / f"{name.replace('/', '%2F')}.part"


def adopt_partial(part: Path, final: Path) -> None:
    """Readable for all who may look into the folder: workers need not be the user who fetched."""
    final.parent.mkdir(parents=True, exist_ok=True)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.chmod(0o644)
    part.replace(final)


def size_on_disk(path: Path) -> int:
    """0: it isn't there."""
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0


def refuse_without_room(folder: Path, wanted: int) -> None:
    """`wanted` is what is still to come."""
    free = free_bytes(nearest(folder.absolute()))
    if free < wanted * SPARE:
        sizes = f"{render_size(wanted * SPARE)} are still to come, {render_size(free)} are free"
        raise JobRefused(
            "check", f"{folder}: {sizes}; free some space, or name a folder on another disk"
        )
