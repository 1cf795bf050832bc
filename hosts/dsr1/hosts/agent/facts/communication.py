"""Facts of the communication stack that no package's metadata tells: which UCX NIXL brings along,
and the NVSHMEM that DeepEP was built with."""

import importlib.util
import mmap
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from dsr1.hosts.agent.facts.reading.children import begin_value
from dsr1.hosts.protocol.facts.fact import FactValue, Reader

LOAD_S, MOST_BYTES = 10.0, 2**30
NVSHMEM = re.compile(rb"NVSHMEM v?(\d{1,3}\.\d{1,3}\.\d{1,3})")


def communication_readers() -> list[Reader]:
    """They begin here: a library that is loaded runs code of its own, and DeepEP's is large."""
    return [
        ("software.ucx", "ucp_get_version_string", begin_value(ucx_version, LOAD_S)),
        ("software.deepep_nvshmem", "DeepEP's library", begin_value(built_nvshmem, LOAD_S)),
    ]


def ucx_version() -> str:
    """Of the library in NIXL's wheel, else of the system's. OSError: there is none. It shall not
    hook malloc and mmap, which takes 150 ms of CPU: our child ends here."""
    from ctypes import CDLL, c_char_p

    os.environ["UCX_MEM_EVENTS"] = "n"
    files = (file for folder in sys.path for file in Path(folder or ".").glob("nixl*.libs/libucp*"))
    library = CDLL(str(next(files, "libucp.so.0")))
    library.ucp_get_version_string.restype = c_char_p
    text: bytes = library.ucp_get_version_string()
    return text.decode(errors="replace")


def built_nvshmem() -> FactValue:
    """NVSHMEM's device half is linked into DeepEP's library, with its version in a string. OSError:
    there is no DeepEP, or no such string in it."""
    for file in _deepep_libraries():
        if found := version_in(file):
            return found
    raise OSError("no library of DeepEP's that tells the NVSHMEM it was built with")


def _deepep_libraries() -> Iterator[Path]:
    """`deep_ep_cpp` beside the package, or `_C` within."""
    spec = importlib.util.find_spec("deep_ep")
    for folder in map(Path, spec.submodule_search_locations or ()) if spec else ():
        yield from sorted(folder.glob("*.so"))
        yield from sorted(folder.parent.glob("deep_ep_cpp*.so"))


def version_in(file: Path) -> str:
    with file.open("rb") as opened:
        if not 0 < file.stat().st_size <= MOST_BYTES:
            return ""
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = NVSHMEM.search(data)
            return found[1].decode() if found else ""
