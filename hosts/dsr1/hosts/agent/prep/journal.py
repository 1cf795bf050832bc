"""What dsr1 did to a host, with what was there before: written down ahead of every step, so that no
cut loses it."""

import contextlib
import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from itertools import takewhile
from pathlib import Path

from dsr1.hosts.agent.prep.files import describe_file, make_folders, read_whole, write_whole
from dsr1.hosts.protocol.bounded import parse_bounded
from dsr1.hosts.protocol.plain import from_plain
from dsr1.hosts.protocol.prep import PrepJournal

FOLDER = "var/lib/dsr1/prep"


def _parse(plain: object) -> PrepJournal:
    """Ours has every key."""
    journal: PrepJournal = from_plain(PrepJournal, plain)
    if isinstance(plain, dict) and len(plain) < len(fields(PrepJournal)):
        raise ValueError("it lacks keys")
    return journal


class PrepShared(Exception):
    """What root would trust is another's, or another's to write."""


class PrepBusy(Exception):
    """Another preparation of this host is at work."""


def refuse_shared(path: Path, root: Path) -> None:
    """Raises PrepShared for a path whose owner is another, or that others may write to, up to the
    root."""
    for step in (*_steps(path, root), *_steps(path.resolve(), root.resolve())):
        status = step.lstat()
        is_link = stat.S_ISLNK(status.st_mode)
        if status.st_uid != os.geteuid() or (status.st_mode & 0o022 and not is_link):
            owner = f"uid {status.st_uid} with mode {status.st_mode & 0o7777:o}"
            raise PrepShared(f"{step} belongs to {owner}, and must be root's alone to write")


def _steps(path: Path, root: Path) -> Iterator[Path]:
    """From the path up, below the root."""
    return takewhile(lambda step: step != root, (path, *path.parents))


class JournalStore:
    """The journal, for everyone to read, and the originals, which are root's alone. No other user
    may have made or may write any of them, or a folder above them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / FOLDER
        self._originals = self.folder / "originals"

    def read(self) -> PrepJournal:
        """ValueError names it: somebody has spoilt it, or it isn't ours."""
        path = self.folder / "journal.json"
        data = read_whole(path)
        try:
            return PrepJournal() if data is None else _parse(parse_bounded(data))
        except ValueError as error:
            raise ValueError(f"{path} is not a journal of dsr1's: {error}") from error

    def write(self, journal: PrepJournal) -> None:
        write_whole(
            self.folder / "journal.json", json.dumps(asdict(journal), indent=1).encode() + b"\n"
        )

    def remove(self, kind: str, record: object) -> None:
        """`kind`: edits, settings, commands or owed."""
        journal = self.read()
        rest = tuple(other for other in getattr(journal, kind) if other != record)
        self.write(replace(journal, **{kind: rest}))

    def keep(self, path: Path) -> str:
        """A copy of a file as it is, times and owner too; its name here."""
        data = read_whole(path)
        if data is None:
            return ""
        name = f"{hashlib.sha256(describe_file(data, path).encode()).hexdigest()[:16]}-{path.name}"
        write_whole(self.original(name), data, path, same_time=True)
        return name

    def original(self, name: str) -> Path:
        return self._originals / name

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Raises PrepBusy and PrepShared. The kernel drops the lock with its holder. An empty
        journal is removed."""
        make_folders(self._originals)
        refuse_shared(self._originals, self.root)
        for file in self.folder.iterdir():
            refuse_shared(file, self.root)
        self._originals.chmod(0o700)
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
            if not self.read():
                self._remove()
        except BlockingIOError as error:
            raise PrepBusy("another `dsr1 prep` is at work there") from error
        finally:
            os.close(handle)

    def _remove(self) -> None:
        for file in (
            *self._originals.iterdir(),
            self.folder / "journal.json",
            self.folder / "lock",
        ):
            file.unlink(missing_ok=True)
        for folder in (self._originals, self.folder, self.folder.parent):
            with contextlib.suppress(OSError):  # dsr1's own folder may hold what isn't ours
                folder.rmdir()
