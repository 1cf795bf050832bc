"""Small text files of the kernel, read whole, and the ends of large ones; never more than a bound,
whatever they claim to be."""

import os
import stat
from pathlib import Path

MOST_BYTES, PIECE = 4 * 2**20, 65536


def read(file: Path) -> str:
    """OSError: not there, or not ours to read. ValueError: not UTF-8, or larger than any such file
    is."""
    data = bytearray()
    with file.open("rb", buffering=0) as opened:
        while piece := opened.read(PIECE):  # /proc/sys sets aside as much memory as is asked for
            data += piece
            if len(data) > MOST_BYTES:
                raise ValueError(f"{file} is larger than {MOST_BYTES >> 20} MiB")
    return data.decode()


def read_or(file: Path, otherwise: str = "") -> str:
    """Where the file's absence says something by itself."""
    try:
        return read(file)
    except FileNotFoundError:
        return otherwise


def read_tail(file: Path, most: int) -> bytes:
    """The last bytes of it; nothing where it can't be read."""
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, os.fstat(opened.fileno()).st_size - most))
            return opened.read(most)
    except OSError:
        return b""


def read_int(file: Path) -> int:
    return int(read(file))


def openable(path: Path) -> bool:
    """A character device that this user may read and write. False: it is not there."""
    try:
        return stat.S_ISCHR(path.stat().st_mode) and os.access(path, os.R_OK | os.W_OK)
    except FileNotFoundError:
        return False
