"""Debian's packages that tests need: installed when they are missing, as root."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

POLICY = Path("/usr/sbin/policy-rc.d")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def ensure_tools(packages: Mapping[str, str]) -> None:
    """Of each package, by its tool. Once, however many test runs ask at the same time."""
    with Path(tempfile.gettempdir(), "dsr1-packages.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [name for tool, name in packages.items() if not shutil.which(tool, path=PATH)]
        if missing:
            _install(missing)


def _install(packages: list[str]) -> None:
    """Their own scripts start no daemon: Debian's policy-rc.d forbids it (101) for the while."""
    made = not POLICY.exists()
    if made:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        for command in (
            ("update", "-qq"),
            ("install", "-y", "-qq", "--no-install-recommends", *packages),
        ):
            env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(
                ("apt-get", *command), env=env, check=True, timeout=600, stdout=subprocess.DEVNULL
            )
    finally:
        if made:
            POLICY.unlink()
