"""The TMPDIR of an agent's processes: what they leave there (vLLM its sockets, Dynamo its files)
goes with the run.

It lies in the host's own temporary folder, not in the agent's: a Unix socket's path holds 107
characters at most.
"""

import contextlib
import shutil
import tempfile
from pathlib import Path


def _link(folder: Path) -> Path:
    return folder / "tmp"


def make_scratch() -> str:
    """For its owner alone."""
    return tempfile.mkdtemp(prefix="dsr1-")


def link_scratch(folder: Path, scratch: str) -> None:
    """On record in the agent's folder."""
    if not _link(folder).is_symlink():
        _link(folder).symlink_to(scratch)


def read_scratch(folder: Path) -> str | None:
    """None: this agent has none."""
    try:
        return str(_link(folder).readlink())
    except OSError:
        return None


def remove_scratch(folder: Path) -> None:
    if path := read_scratch(folder):
        shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):
            _link(folder).unlink()
