"""What a host has of a model that is being passed on: whole files, and those that grow."""

import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from dsr1.hosts.agent.model.inside import Roots, model_roots, opened_inside
from dsr1.hosts.protocol.jobs.messages import JobRefused
from dsr1.hosts.protocol.jobs.orders import StoreFile

LARGE = 64 << 20


def list_folder(folder: Path) -> tuple[StoreFile, ...]:
    """Every regular file below, nothing hidden: small ones first, so that what is wrong shows soon.

    Links to files of the model count as what they point at: a hub's cache is made of them. Links to
    folders are not followed. JobRefused: a link leads out of the model.
    """
    roots = model_roots(folder)
    items = [_item(folder, path, roots) for path in _files(folder) if path.is_file()]
    return tuple(sorted(items, key=lambda item: (item.size > LARGE, item.name)))


def _files(folder: Path) -> Iterator[Path]:
    for at, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(at, name) for name in names if not name.startswith("."))


def _item(folder: Path, path: Path, roots: Roots) -> StoreFile:
    try:
        with opened_inside(path, roots) as file:
            status = file.stat()
    except OSError as error:
        raise JobRefused("check", f"{path}: {error.strerror}; nothing was sent") from None
    name, mode = path.relative_to(folder).as_posix(), status.st_mode & 0o777
    return StoreFile(name, status.st_size, status.st_mtime_ns, mode)


def refuse_unsafe(files: Sequence[StoreFile]) -> None:
    """JobRefused: a name leads out of the folder."""
    for file in files:
        if not is_safe_name(file.name):
            raise JobRefused("input", f"{file.name!r} is not the name of a file of a model")


def is_safe_name(name: str) -> bool:
    """A path below the folder, of plain names."""
    return all(part not in ("", ".", "..") for part in name.split("/")) and not re.search(
        r"[\0\n\r\\]", name
    )


class ModelStore:
    """By index of the item: where it lies, how much of it is there, and its hash once it is
    known."""

    def __init__(self, items: Sequence[StoreFile], folder: Path) -> None:
        self.items, self.roots = items, model_roots(folder)
        self._paths = [Path()] * len(items)
        self._have = [0] * len(items)
        self._changed = threading.Condition()

    @property
    def total(self) -> int:
        return sum(item.size for item in self.items)

    def have(self) -> int:
        return sum(self._have)

    def put(self, index: int, path: Path, have: int) -> None:
        with self._changed:
            self._paths[index], self._have[index] = path, have
            self._changed.notify_all()

    def wait_beyond(self, index: int, offset: int, seconds: float) -> int:
        """How much there is; no more than `offset` when nothing came in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._have[index] > offset, seconds)
            return self._have[index]

    def path(self, index: int) -> Path:
        with self._changed:
            return self._paths[index]

    def opened(self, index: int) -> AbstractContextManager[Path]:
        """OSError: it is not there any more, or something else is there in its place."""
        return opened_inside(self.path(index), self.roots)
