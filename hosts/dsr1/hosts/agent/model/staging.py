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
from dsr1.hosts.agent.model.inside import (
    HANDLES,
    StagingArea,
    model_roots,
    refuse_foreign_link,
)
from dsr1.hosts.protocol.jobs.messages import JobRefused, render_size

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
SPARE = 1.01  # of what is wanted: directories and the file system's own tables want some, too


@contextlib.contextmanager
def staging_folder(folder: Path) -> Iterator[StagingArea]:
    """Refused: another job works there, it can't be written to, or others could write into the
    folder for what isn't whole."""
    with contextlib.ExitStack() as open_until:
        try:
            refuse_foreign_link(folder)
            folder.mkdir(parents=True, exist_ok=True)
            area = _open_area(folder, open_until)
            lock = open_until.enter_context((area.work / "lock").open("a+"))
        except OSError as error:
            raise JobRefused(
                "check", f"{folder}: can't be written to by uid {os.geteuid()}: {error.strerror}"
            ) from None
        _take(lock.fileno(), area.work / "lock", folder)
        with _own_names(area):
            yield area
        with contextlib.suppress(
            OSError
        ):  # parts that a later job goes on with may still lie there
            (area.work / "lock").unlink()
            os.rmdir(WORK, dir_fd=area.handle)


def _open_area(folder: Path, open_until: contextlib.ExitStack) -> StagingArea:
    handle = os.open(folder, _FOLDER)
    open_until.callback(os.close, handle)
    with contextlib.suppress(FileExistsError):
        os.mkdir(WORK, 0o700, dir_fd=handle)
    work = os.open(WORK, _FOLDER | os.O_NOFOLLOW, dir_fd=handle)
    open_until.callback(os.close, work)
    _keep_closed(work, folder / WORK)
    return StagingArea(folder, HANDLES / str(work), handle, model_roots(folder))


def _keep_closed(work: int, shown: Path) -> None:
    """Whoever may write there could make a part of ours a link to something else."""
    status = os.fstat(work)
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        owner = f"uid {status.st_uid} with mode {status.st_mode & 0o777:o}"
        why = f"{shown} belongs to {owner}, not to uid {os.geteuid()} alone; once no other fetch"
        raise JobRefused("check", f"{why} or push works there, remove it")
    os.fchmod(work, 0o700)


@contextlib.contextmanager
def _own_names(area: StagingArea) -> Iterator[None]:
    """Errors name what lies in the area as others see it."""
    try:
        yield
    except OSError as error:
        if isinstance(error.filename, str):
            error.filename = error.filename.replace(str(area.work), str(area.folder / WORK))
        raise


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
