"""Which file system a path lies on, and how much room it has."""

import os
import re
from pathlib import Path

from dsr1.hosts.protocol.facts.fact import FactValue


def parse_mounts(text: str) -> dict[str, tuple[str, str]]:
    """/proc/self/mountinfo (proc(5)): type and source by mount point. A later mount covers an
    earlier one."""
    found = {}
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        found[_unescape(before.split()[4])] = (after.split()[0], _unescape(after.split()[1]))
    return found


def _unescape(text: str) -> str:
    """Blanks and backslashes are written in octal."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def mount_for(path: Path, mounts: dict[str, tuple[str, str]]) -> str:
    """The mount point that serves it. LookupError: there is none, not even `/`."""
    points = [str(step) for step in (path, *path.parents) if str(step) in mounts]
    if not points:
        raise LookupError(f"no mount point above {path}")
    return points[0]


def nearest(path: Path) -> Path:
    """The path, or the first folder above it that there is."""
    return next((step for step in (path, *path.parents) if step.exists()), Path("/"))


def free_bytes(path: Path) -> int:
    """That this user may still write."""
    system = os.statvfs(path)
    return system.f_bavail * system.f_frsize


def file_system_of(path: Path, mountinfo: Path) -> dict[str, FactValue]:
    """Of the path, or of where it would be made: type, mount point, source, and bytes that this
    user may still use."""
    there = nearest(path.absolute()).resolve()
    mounts = parse_mounts(mountinfo.read_text())
    point = mount_for(there, mounts)
    kind, source = mounts[point]
    return {"type": kind, "mount": point, "source": source, "free": free_bytes(there)}
