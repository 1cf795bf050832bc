"""/dev/shm: large enough, now by a remount and at boot by its line in /etc/fstab, where that keeps
it small. Pure."""

import re
from collections.abc import Iterator

from dsr1.env.prep.parts import FileRewrite, PrepNote, PrepPart, file_at
from dsr1.hosts.protocol.prep import CommandStep, HostProbe

LEAST, GIB = 16 * 2**30, 2**30
SIZE = "50%"  # the kernel's own default
WHY = "NCCL and vLLM keep their queues between a host's processes in it"
UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}
_LINE = re.compile(
    r"^(?P<before>\s*[^#\s]\S*\s+/dev/shm\s+\S+\s+(?:\S*,)?)size=(?P<size>[^,\s]+)", re.MULTILINE
)


def fix_shm(probe: HostProbe) -> Iterator[PrepPart]:
    total, size = probe.memory.total, probe.memory.shm
    if total // 2 < LEAST and size < LEAST:
        seen = f"{size / GIB:.1f} GiB on a host of {total / GIB:.0f} GiB"
        yield PrepNote(
            "WARN",
            seen,
            "16 GiB in /dev/shm",
            "Use a host with more memory: a larger /dev/shm would take what the ranks need.",
        )
        return
    line = _LINE.search(file_at(probe, "/etc/fstab").text)
    if line and shm_size(line["size"], total) < LEAST:
        yield FileRewrite(
            WHY, "/etc/fstab", lambda text: _LINE.sub(rf"\g<before>size={SIZE}", text)
        )
    if size < LEAST:
        undo = ("mount", "-o", f"remount,size={size // 1024}k", "/dev/shm")
        yield CommandStep(
            ("sys.shm",), WHY, ("mount", "-o", f"remount,size={SIZE}", "/dev/shm"), undo
        )


def shm_size(text: str, total: int) -> float:
    """tmpfs's size=: bytes, or with k, m, g, or a share of the memory. What it isn't counts as
    none."""
    found = re.fullmatch(r"(\d+)([kmg%]?)", text, re.IGNORECASE)
    if found is None:
        return 0
    number, unit = int(found[1]), found[2].lower()
    return number * total / 100 if unit == "%" else number * UNITS.get(unit, 1)
