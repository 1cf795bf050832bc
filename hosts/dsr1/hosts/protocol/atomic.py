"""Files that are there whole or not at all, and closed to others from their first byte."""

import contextlib
import os
import threading
from pathlib import Path


def write_file(path: Path, data: bytes) -> None:
    """By rename. A full disk leaves what was there before, and nothing else."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_native_id()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
