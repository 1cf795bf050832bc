"""JIT caches on a host: a folder a key below one root, listed, packed into one file, and completed
from such a file.

What compilers made is named by content or by hash, so completing a cache is adding the files that
it lacks: nothing that is there is ever written over, and each file appears whole, by rename.
"""

import contextlib
import hashlib
import io
import lzma
import os
import re
import shutil
import stat
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from dsr1.hosts.agent.caches.ninja import refresh_deps, refresh_log
from dsr1.hosts.protocol.caches import HostPack

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")
MOST_BYTES, MOST_FILES, LONGEST_READ = 4 * 2**30, 200_000, 1 << 20
PASSING = re.compile(r"(?:^|/)(?:tmp|\.adding-[^/]*)/|\.(?:lock|tmp|log)\Z")
"""Files that are only there while something is built."""


class CacheError(Exception):
    """A root, a key or a pack that can't be used; the message says which and why."""


def list_caches(root: Path) -> list[HostPack]:
    if not root.is_dir():
        return []
    folders = (folder for folder in sorted(_own(root).iterdir()) if KEY.fullmatch(folder.name))
    return [_describe(folder) for folder in folders if folder.is_dir()]


def open_cache(root: Path, key: str) -> HostPack:
    """Make the key's folder, for us alone, unless it is there; what it holds."""
    folder = _folder(root, key)
    _make(root)
    folder.mkdir(mode=0o700, exist_ok=True)
    return _describe(folder)


def _describe(folder: Path) -> HostPack:
    files = [(name, path.stat()) for name, path in _files(folder)]
    listed = "".join(f"{name}\0{status.st_size}\0" for name, status in files)
    size = sum(status.st_size for _, status in files)
    digest = hashlib.sha256(listed.encode(errors="surrogateescape")).hexdigest()[:16]
    changed = max((status.st_mtime for _, status in files), default=folder.stat().st_mtime)
    return HostPack(folder.name, len(files), size, digest, changed)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Regular files with their names below the folder, in order; a link is no file of a cache."""
    found = (path for path in sorted(folder.rglob("*")) if _is_own_file(path))
    named = ((path.relative_to(folder).as_posix(), path) for path in found)
    return ((name, path) for name, path in named if not PASSING.search(name))


def _is_own_file(path: Path) -> bool:
    """CacheError: another user's, or one that others may write: it would run as us."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        return False
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        owner = f"uid {status.st_uid} with mode {status.st_mode & 0o777:o}"
        raise CacheError(f"{path} belongs to {owner}, not to us alone")
    return True


def pack(root: Path, key: str) -> bytes:
    """One tar.xz of a key's files."""
    folder = _folder(root, key)
    if not folder.is_dir():
        raise CacheError(f"{folder} is not there")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz", preset=2) as archive:
        for name, path in _files(folder):
            archive.add(path, name, recursive=False, filter=_plain)
    return buffer.getvalue()


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without its owner: neither means anything on another host."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def unpack(root: Path, key: str, sha256: str, data: bytes) -> int:
    """Add what the key's cache lacks: so many files."""
    if hashlib.sha256(data).hexdigest() != sha256:
        raise CacheError(f"{key}: what arrived is not what was sent (sha256 differs)")
    folder = _folder(root, key)
    _make(root)
    draft = root / f".adding-{key}-{os.getpid()}"
    try:
        _extract(data, draft)
        _as_built_now(draft, time.time_ns())
        return _merge(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _extract(data: bytes, draft: Path) -> None:
    """Regular files below the draft, and nothing else: a pack is not trusted to be one of ours."""
    draft.mkdir(mode=0o700)
    try:
        with lzma.open(io.BytesIO(data)) as packed:
            unpacked = cast("BinaryIO", _BoundedReads(packed))
            with tarfile.open(fileobj=unpacked, mode="r:") as archive:
                for number, entry in enumerate(archive):
                    _extract_one(archive, entry, draft, number)
    except (tarfile.TarError, lzma.LZMAError, EOFError, ValueError) as error:
        raise CacheError(f"not a pack: {error}") from error


class _BoundedReads:
    """Of a compressed file: tarfile would read a name or an attribute of any size at once, and go
    through any number of bytes to the next entry."""

    def __init__(self, file: lzma.LZMAFile) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LONGEST_READ or self._file.tell() > MOST_BYTES:
            raise ValueError("it holds more than a cache does")
        return self._file.read(size)

    def seek(self, offset: int) -> int:
        if not 0 <= offset <= MOST_BYTES:
            raise ValueError("it holds more than a cache does")
        return self._file.seek(offset)

    def tell(self) -> int:
        return self._file.tell()


def _extract_one(
    archive: tarfile.TarFile, entry: tarfile.TarInfo, draft: Path, number: int
) -> None:
    parts = PurePosixPath(entry.name).parts
    inside = parts and ".." not in parts and not entry.name.startswith("/") and entry.size >= 0
    if not entry.isreg() or entry.issparse() or not inside or number >= MOST_FILES:
        raise CacheError(f"not a pack: {entry.name!r} is not a file of a cache")
    source, path = archive.extractfile(entry), draft.joinpath(*parts)
    assert source is not None
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("xb") as target:
        shutil.copyfileobj(source, target)


def _as_built_now(draft: Path, now_ns: int) -> None:
    for log in draft.rglob(".ninja_log"):
        log.write_text(
            refresh_log(log.read_text(errors="surrogateescape"), now_ns), errors="surrogateescape"
        )
    for deps in draft.rglob(".ninja_deps"):
        deps.write_bytes(refresh_deps(deps.read_bytes(), now_ns))
    for _, path in _files(draft):
        os.utime(path, ns=(now_ns, now_ns))


def _merge(draft: Path, folder: Path) -> int:
    added = 0
    for name, path in _files(draft):
        target = folder / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.link(path, target)  # unlike a rename, it never replaces
            added += 1
    return added


def drop(root: Path, keys: list[str]) -> list[str]:
    """Remove keys; those that were there."""
    gone = [key for key in keys if _folder(root, key).is_dir()]
    for key in gone:
        shutil.rmtree(_folder(root, key))
    return gone


def _folder(root: Path, key: str) -> Path:
    if not KEY.fullmatch(key):
        raise CacheError(f"{key!r} is not a cache's key")
    return _own(root) / key


def _make(root: Path) -> None:
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    _own(root)


def _own(root: Path) -> Path:
    """What is loaded from a cache runs as us: nobody else may write there, or swap it by a link."""
    for status in (root.lstat(), root.stat()) if os.path.lexists(root) else ():
        shared = stat.S_ISDIR(status.st_mode) and status.st_mode & 0o022
        if status.st_uid != os.geteuid() or shared:
            owner = f"uid {status.st_uid} with mode {status.st_mode & 0o777:o}"
            raise CacheError(f"{root} belongs to {owner}, not to us alone")
    return root
