"""Files of a host's configuration: what state they are in, and a new text for them, whole or not at
all."""

import contextlib
import hashlib
import os
import shutil
import stat
from pathlib import Path

MODE, FOLDER_MODE = 0o644, 0o755


def to_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def read_whole(path: Path) -> bytes | None:
    """None: nothing is there. OSError for what is no regular file: a link isn't followed."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(f"{path} is not a regular file")
        return file.read()


def state_of(path: Path) -> str:
    """Content, mode and owner; empty: nothing is there."""
    data = read_whole(path)
    return "" if data is None else describe_file(data, path)


def describe_file(data: bytes, like: Path | None) -> str:
    """The state of a file with this content and the mode and owner of `like`, or those of a new
    one."""
    mode, uid, gid = MODE, os.geteuid(), os.getegid()
    if like:
        status = like.stat()
        mode, uid, gid = status.st_mode, status.st_uid, status.st_gid
    return f"{hashlib.sha256(data).hexdigest()} {stat.S_IMODE(mode):o} {uid}:{gid}"


def write_whole(path: Path, data: bytes, like: Path | None = None, same_time: bool = False) -> None:
    """By rename. Mode, owner and extended attributes (SELinux's label) are those of `like`."""
    draft = path.with_name(f".{path.name}.dsr1")
    try:
        draft.unlink(missing_ok=True)
        _write(draft, data, like)
        if not same_time:
            os.utime(draft)
        draft.replace(path)
        sync(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def _write(draft: Path, data: bytes, like: Path | None) -> None:
    with os.fdopen(
        os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb"
    ) as file:
        file.write(data)
        file.flush()  # or else the file's time would be that of the last write
        if like is None:
            os.fchmod(file.fileno(), MODE)
        else:
            owner = like.stat()
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            shutil.copystat(like, draft)
        os.fsync(file.fileno())


def make_folders(folder: Path) -> list[Path]:
    """Those that were missing, outermost first."""
    missing = [step for step in (folder, *folder.parents) if not step.exists()][::-1]
    for step in missing:
        step.mkdir()
        step.chmod(FOLDER_MODE)  # whatever the umask
    return missing


def sync(folder: Path) -> None:
    """A rename is on the disk only with its folder."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
