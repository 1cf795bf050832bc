"""Packs the agent into one file that any Python runs: a zipapp, the same bytes for the same
sources."""

import functools
import hashlib
import io
import marshal
import sys
import types
import zipfile
from importlib.machinery import SourceFileLoader
from importlib.util import MAGIC_NUMBER, cache_from_source, source_hash
from pathlib import Path, PurePosixPath

from dsr1.hosts.protocol.atomic import write_file

HOSTS = Path(__file__).resolve().parent.parent
MODULES = ("__init__.py", "dataclass.py")
PARTS = ("agent", "hub", "protocol")  # with these all that runs on a host
MAIN = b"""import sys

if sys.version_info < (3, 10):
    sys.exit("Python %s.%s is too old: 3.10 or later is wanted" % sys.version_info[:2])

from dsr1.hosts.agent.main import main

sys.exit(main())
"""
LONG_AGO = (1980, 1, 1, 0, 0, 0)
UNCHECKED_HASH = (1).to_bytes(4, "little")  # of PEP 552: a host's Python needn't compare


@functools.cache
def _sources() -> dict[str, bytes]:
    """By name in the archive, as they are when this process first asks."""
    paths = [HOSTS / name for name in MODULES]
    paths += [path for part in PARTS for path in sorted((HOSTS / part).rglob("*.py"))]
    return {f"dsr1/hosts/{path.relative_to(HOSTS).as_posix()}": path.read_bytes() for path in paths}


@functools.cache
def _has_byte_code() -> bool:
    """Where this installation keeps its own: compiling all of it takes longer than a question."""
    return Path(cache_from_source(str(HOSTS / "__init__.py"))).exists()


def _byte_code(name: str, source: bytes) -> bytes:
    """A .pyc, which a Python of our version takes; any other takes the source beside it.
    Marshalled as version 2, which has no references: those differ from process to process."""
    path = HOSTS / name.removeprefix("dsr1/hosts/")
    code = SourceFileLoader(name, str(path)).get_code(name)
    if code is None or path.read_bytes() != source:  # changed since
        code = compile(source, name, "exec", dont_inherit=True)
    head = MAGIC_NUMBER + UNCHECKED_HASH + source_hash(source)
    return head + marshal.dumps(_named(code, name), 2)


def _named(code: types.CodeType, name: str) -> types.CodeType:
    """The same wherever dsr1 is installed."""
    inner = (
        _named(one, name) if isinstance(one, types.CodeType) else one for one in code.co_consts
    )
    return code.replace(co_filename=name, co_consts=tuple(inner))


def _contents() -> dict[str, bytes]:
    """By name in the archive; a folder's name ends in a slash (zipimport finds namespace packages
    by it)."""
    sources = _sources()
    folders = sorted(
        {f"{parent}/" for name in sources for parent in PurePosixPath(name).parents[:-1]}
    )
    files = {"__main__.py": MAIN, **dict.fromkeys(folders, b""), **sources}
    if _has_byte_code():
        files |= {f"{name}c": _byte_code(name, source) for name, source in sources.items()}
    return files


@functools.cache
def render_bundle() -> bytes:
    """Stored, not deflated: another zlib would give other bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in _contents().items():
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.create_system = 3
            entry.external_attr = (0o40755 if name.endswith("/") else 0o100644) << 16
            archive.writestr(entry, data)
    return buffer.getvalue()


@functools.cache
def bundle_name() -> str:
    """By all that decides its bytes, which are rendered only where they aren't yet."""
    compiler = f"{sys.version} {sys.flags.optimize}" if _has_byte_code() else ""
    digest = hashlib.sha256(repr((MAIN, _sources(), compiler)).encode())
    return f"agent-{digest.hexdigest()[:16]}.pyz"


def make_bundle(folder: Path) -> Path:
    """Puts the bundle into the folder unless it is there."""
    path = folder / bundle_name()
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_file(path, render_bundle())
    return path
