"""Whose child a process is, where its environment tells nothing, or a copy of another's.

An agent and what it starts bear a number in a resource limit that Linux has not enforced since
2.4.25 (RLIMIT_LOCKS, getrlimit(2)). Every child inherits it, whatever becomes of its environment,
its session or its parent, and it can be read of a process that can't be dumped (file capabilities,
PR_SET_DUMPABLE), whose environment nobody can read. A shell that somebody gave a copy of a rank's
environment doesn't have it.
"""

import contextlib
import hashlib
import resource
from pathlib import Path

from dsr1.hosts.protocol.marks import AgentIdentity

LOCKS = 10  # RLIMIT_LOCKS, which Python doesn't name
_TAG, _TAG_BITS, _HOST_BITS, _PROCESS_BITS = 0x2B5, 10, 32, 20
_LIMIT = "Max file locks"


def lineage_of(identity: AgentIdentity, process: str = "") -> int:
    """Of the agent itself, or of one of its processes. Never 0."""
    whole = f"{identity.run_id}/{identity.host}"
    own = _digest(f"{whole}/{process}", _PROCESS_BITS) if process else 0
    return _TAG << _HOST_BITS + _PROCESS_BITS | _digest(whole, _HOST_BITS) << _PROCESS_BITS | own


def _digest(text: str, bits: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> (64 - bits)


def agent_part(lineage: int) -> int:
    """The same of an agent and all its processes; 0: of none."""
    is_one = lineage >> _HOST_BITS + _PROCESS_BITS == _TAG
    return lineage >> _PROCESS_BITS if is_one else 0


def take_lineage(number: int) -> bool:
    """For this very process, and all that it starts. False: it can't be had here, where somebody
    set the limit lower, or the kernel has none."""
    with contextlib.suppress(OSError, ValueError):
        _, hard = resource.prlimit(0, LOCKS)
        resource.prlimit(0, LOCKS, (number, hard))
        return True
    return False


def read_lineage(pid: int) -> int | None:
    """0: it has none, or is gone. None: it can't be read."""
    try:
        return max(resource.prlimit(pid, LOCKS)[0], 0)
    except ProcessLookupError:
        return 0
    except OSError:  # it has become another user or group
        return _shown(pid)


def _shown(pid: int) -> int | None:
    try:
        lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    except OSError:
        return None
    soft = next((line[len(_LIMIT) :].split()[0] for line in lines if line.startswith(_LIMIT)), "")
    return int(soft) if soft.isdecimal() else 0
