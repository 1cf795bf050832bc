"""Where this user's runs and kept caches lie."""

import contextlib
import os
import re
from pathlib import Path

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


def state_folder() -> Path:
    """$DSR1_STATE_DIR, or the user's state folder."""
    own = os.environ.get("DSR1_STATE_DIR")
    if own:
        return Path(own).absolute()
    from platformdirs import user_state_path

    return user_state_path("dsr1")


def run_folders() -> list[Path]:
    """The newest last. What can't be the name of a run (lost+found) isn't."""
    folder = state_folder() / "runs"
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if RUN_NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=claimed_ns)


def claimed_ns(folder: Path) -> int:
    """Since the epoch. The recipe is written with the claim and never again; a run may be discarded
    while one looks."""
    for path in (folder / "recipe.json", folder):
        with contextlib.suppress(OSError):
            return path.stat().st_mtime_ns
    return 0
