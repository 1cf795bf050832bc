"""Writes a bundle: redacts every text and packs it."""

import getpass
import io
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.hosts.inventory.access import Access
from dsr1.launcher.operate.bundle.contents import bundle_texts
from dsr1.launcher.operate.bundle.redaction import Redactor, secret_values
from dsr1.launcher.run.store import Run


def write_bundle(run: Run, target: Path) -> int:
    """How many files it has. InputError: the target is there already, or can't be written."""
    redactor = make_redactor(run)
    try:
        with target.open("xb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            return sum(_add(archive, name, text, redactor) for name, text in bundle_texts(run))
    except FileExistsError:
        raise InputError(f"{target}: is there already; name another with --to") from None
    except OSError as error:
        raise InputError(f"{target}: can't be written: {error.strerror}") from None


def make_redactor(run: Run) -> Redactor:
    """From what this machine and the run know to be secret, a user or an address."""
    secrets = [*secret_values(os.environ), *run.secrets().values()]
    return Redactor(secrets, dict.fromkeys(_users(run)), dict.fromkeys(_addresses(run)))


def _users(run: Run) -> Iterator[str]:
    yield getpass.getuser()
    yield from (os.environ.get(name, "") for name in ("USER", "LOGNAME", "SUDO_USER"))
    yield from (access.user or "" for access in _accesses(run))


def _addresses(run: Run) -> Iterator[str]:
    """Of a host that is called by its address, the name is one, too."""
    for access in _accesses(run):
        for word in (access.target, access.jump or "", access.control_address or ""):
            if word != access.name or "." in word:
                yield word.rpartition("@")[2]


def _accesses(run: Run) -> tuple[Access, ...]:
    try:
        return run.settings().hosts
    except LaunchFailed:
        return ()


def _add(archive: tarfile.TarFile, name: str, text: str, redactor: Redactor) -> int:
    data = redactor.redact(text).encode(errors="replace")
    entry = tarfile.TarInfo(f"dsr1-bundle/{redactor.redact(name)}")
    entry.size, entry.mtime, entry.mode = len(data), int(time.time()), 0o600
    archive.addfile(entry, io.BytesIO(data))
    return 1
