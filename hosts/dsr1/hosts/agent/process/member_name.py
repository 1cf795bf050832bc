"""vLLM's names of the processes below a main one: EngineCore_DP0, Worker_DP0_EP0 ..."""

import re
from pathlib import Path

from dsr1.hosts.protocol.evidence import SPAWNED, kind_of

_TITLE = re.compile(r"VLLM::(\S{1,64})")  # vLLM names its processes so
_RANK = re.compile(r"_DP\d+")
COMM_LENGTH = 15  # of which the kernel keeps a name, of a zombie too
SPAWN = "multiprocessing.spawn import spawn_main"
KINDS = ("EngineCore", "Worker", "DPCoordinator", "APIServer", "ApiServer")
# Those that live as long as their process. All others come and go: compilers, shells, resource
# trackers, pools of torch.compile.
LASTING = re.compile(rf"({'|'.join(KINDS)})(_|\Z)")


def component_of(pid: int) -> str:
    """vLLM's name of a process, such as EngineCore_DP0, else its command's; empty: it is gone."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        comm = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
    return read_name(words.decode(errors="replace"), comm)


def read_name(command: str, comm: str) -> str:
    """A zombie has no command any more, and its `comm` is cut short."""
    if found := _TITLE.search(command):
        return found[1]
    if command:
        return SPAWNED if SPAWN in command else comm
    return _completed(comm)


def _completed(comm: str) -> str:
    found = _TITLE.match(comm)
    if not found or len(comm) < COMM_LENGTH:
        return found[1] if found else comm
    rest = found[1]
    return next((kind for kind in KINDS if kind.startswith(rest[: len(kind)])), rest)


def with_rank(name: str, parents_name: str) -> str:
    """A Worker has no rank in its name before it has met the others; its EngineCore has."""
    rank = _RANK.search(parents_name)
    lacks = kind_of(name) in (*KINDS, SPAWNED) and not _RANK.search(name)
    return f"{name}{rank[0]}" if rank and lacks else name
