"""Which folders that a deployment writes to have no room left."""

import os
from collections.abc import Iterable
from pathlib import Path

LITTLE_BYTES = 4 << 20


def full_folders(folders: Iterable[Path]) -> tuple[str, ...]:
    return tuple(str(folder) for folder in folders if _is_full(folder))


def _is_full(folder: Path) -> bool:
    """Of space or of files."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < LITTLE_BYTES or (found.f_files > 0 == found.f_favail)
