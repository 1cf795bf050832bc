"""A model's folder that others may be able to write to: no link in it leads us out of it, whenever
it is put there.

What is opened is judged, not its name: /proc tells where an open file lies.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from dsr1.hosts.dataclass import dataclass

Roots = tuple[Path, ...]
HANDLES = Path("/proc/self/fd")


def model_roots(folder: Path) -> Roots:
    """Where a model's files may lie: in its folder, and where that is a snapshot of a hub's cache,
    in the cache's blobs."""
    refuse_foreign_link(folder)
    real = Path(os.path.realpath(folder))
    blobs = (real.parent.parent / "blobs",) if real.parent.name == "snapshots" else ()
    return (real, *blobs)


def refuse_foreign_link(folder: Path) -> None:
    """The kernel's protected_symlinks, in folders that aren't sticky too. OSError."""
    if folder.is_symlink() and (owner := folder.lstat().st_uid) not in (0, os.geteuid()):
        raise OSError(errno.EPERM, f"it is a link of uid {owner}", str(folder))


def open_inside(path: Path, roots: Roots) -> int:
    """For reading. OSError: it is no regular file, or lies elsewhere."""
    where = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        real = (HANDLES / str(where)).readlink()
        if not any(real.is_relative_to(root) for root in roots):
            why = f"it is a link to {real}, outside of the model"
            raise OSError(errno.EPERM, why, str(path))
        if not stat.S_ISREG(os.fstat(where).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        return os.open(HANDLES / str(where), os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(where)


@contextmanager
def opened_inside(path: Path, roots: Roots) -> Iterator[Path]:
    """A path to the very file, whatever its name becomes meanwhile."""
    handle = open_inside(path, roots)
    try:
        yield HANDLES / str(handle)
    finally:
        os.close(handle)


def size_inside(path: Path, roots: Roots) -> int | None:
    """None: there is no such file in the model."""
    try:
        with opened_inside(path, roots) as file:
            return file.stat().st_size
    except OSError:
        return None


@dataclass(frozen=True, slots=True)
class StagingArea:
    """A folder that a model comes into, and `work` within it, which is ours alone: parts get their
    final names from there. `work` stays what it is, whatever its name becomes."""

    folder: Path
    work: Path
    handle: int
    roots: Roots

    def part(self, name: str) -> Path:
        return self.work / part_name(name)

    def size(self, name: str) -> int | None:
        return size_inside(self.folder / name, self.roots)

    def opened(self, name: str) -> AbstractContextManager[Path]:
        return opened_inside(self.folder / name, self.roots)

    def adopt(self, part: Path, name: str, mode: int = 0o644) -> None:
        """With its final name: on the disk, and readable for all who may look into the folder
        (workers need not be the user who fetched), unless `mode` or what was there is for fewer."""
        with part.open("rb") as file:
            os.fsync(file.fileno())
        *folders, last = name.split("/")
        parent = _open_folders(self.handle, folders, self.folder)
        try:
            part.chmod(mode & _mode_of(parent, last) & 0o644)
            os.rename(part, last, dst_dir_fd=parent)
        finally:
            os.close(parent)


def part_name(name: str) -> str:
    return f"{name.replace('/', '%2F')}.part"


def _mode_of(parent: int, name: str) -> int:
    """Of our own file of that name: what it was closed to, it stays closed to."""
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return 0o644
    ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
    return status.st_mode if ours else 0o644


def _open_folders(handle: int, names: list[str], shown: Path) -> int:
    """A handle of the innermost; those that are missing are made. A link is no folder."""
    current = os.dup(handle)
    for name in names:
        shown /= name
        try:
            current, before = _open_folder(current, name), current
        except OSError as error:
            os.close(current)
            raise OSError(
                error.errno, f"{error.strerror}; a link is no folder", str(shown)
            ) from None
        os.close(before)
    return current


def _open_folder(parent: int, name: str) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=parent)
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
