"""Packs the agent into one file that any Python runs: a zipapp, the same bytes for the same
sources."""

import hashlib
import io
import zipfile
from pathlib import Path, PurePosixPath

from dsr1.hosts.protocol.atomic import write_file

HOSTS = Path(__file__).resolve().parent.parent
PARTS = ("agent", "hub", "protocol")  # all that runs on a host
MAIN = b"""import sys

if sys.version_info < (3, 10):
    sys.exit("Python %s.%s is too old: 3.10 or later is wanted" % sys.version_info[:2])

from dsr1.hosts.agent.main import main

sys.exit(main())
"""
LONG_AGO = (1980, 1, 1, 0, 0, 0)


def _contents() -> dict[str, bytes]:
    """By name in the archive; a folder's name ends in a slash (zipimport finds namespace packages
    by it)."""
    sources = [HOSTS / "__init__.py"]
    sources += [path for part in PARTS for path in sorted((HOSTS / part).rglob("*.py"))]
    files = {
        f"dsr1/hosts/{path.relative_to(HOSTS).as_posix()}": path.read_bytes() for path in sources
    }
    folders = sorted(
        {f"{parent}/" for name in files for parent in PurePosixPath(name).parents[:-1]}
    )
    return {"__main__.py": MAIN, **dict.fromkeys(folders, b""), **files}


def render_bundle() -> bytes:
    """Stored, not deflated: another zlib would give other bytes, and so another name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in _contents().items():
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.create_system = 3
            entry.external_attr = (0o40755 if name.endswith("/") else 0o100644) << 16
            archive.writestr(entry, data)
    return buffer.getvalue()


def bundle_name(data: bytes) -> str:
    return f"agent-{hashlib.sha256(data).hexdigest()[:16]}.pyz"


def make_bundle(folder: Path) -> Path:
    """Puts the bundle into the folder unless it is there."""
    data = render_bundle()
    path = folder / bundle_name(data)
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_file(path, data)
    return path
