"""Lines of the kernel's log that may tell why a process failed, of late."""

import os
import re
import subprocess
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from dsr1.hosts.agent.facts.gpu.xids import next_record, time_of_line, time_of_record
from dsr1.hosts.protocol.evidence import KernelLine

TELLING = re.compile(
    r"NVRM|Xid|[Oo]ut of memory|Killed process|oom|segfault|trap |mlx5|[Ll]ink is|nvme|I/O error"
    r"|EXT4-fs error|XFS.*(?:error|shutdown)|nfs: server|Machine check|Hardware Error|blocked for"
    r"|soft lockup|fallen off|nvswitch|AER: |LustreError|EDAC|general protection"
)
JOURNAL = ("journalctl", "--dmesg", "--boot", "--no-pager", "--quiet", "--output=short-monotonic")
MOST, JOURNAL_S = 200, 1.5
KILLED = re.compile(r"Killed process (\d+)")
FIRST_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO of linux/proc_ns.h: the kernel's own pids


def kernel_lines(within_s: float, now: float, root: Path = Path("/")) -> tuple[KernelLine, ...]:
    """Of the last seconds; `now` is since the epoch, as their times are given. OSError: neither
    /dev/kmsg nor the journal may be read."""
    up_s = float((root / "proc/uptime").read_text().split()[0])
    told = (line for line in _told(root) if line[0] >= up_s - within_s)
    return tuple(KernelLine(now - up_s + at, text) for at, text in told)[-MOST:]


def without_others_kills(
    lines: Iterable[KernelLine], pids: Collection[int], namespace: int
) -> Iterator[KernelLine]:
    """The kernel tells of every process that it killed for want of memory, also of other users' and
    jobs'. In a container its pids are not ours, so that nothing can be left out."""
    for line in lines:
        killed = KILLED.search(line.text)
        if not killed or namespace != FIRST_NAMESPACE or int(killed[1]) in pids:
            yield line


def pid_namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino


def _told(root: Path) -> Iterator[tuple[float, str]]:
    """Seconds after boot, and the words."""
    try:
        ring = os.open(root / "dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        yield from _of_journal()
        return
    try:
        yield from _of_ring(ring)
    finally:
        os.close(ring)


def _of_ring(ring: int) -> Iterator[tuple[float, str]]:
    while record := next_record(ring).decode(errors="replace"):
        at, text = time_of_record(record), record.partition(";")[2].splitlines()
        if at is not None and text and TELLING.search(text[0]):
            yield at, text[0]


def _of_journal() -> Iterator[tuple[float, str]]:
    done = subprocess.run(JOURNAL, capture_output=True, timeout=JOURNAL_S, check=False)
    if done.returncode:
        raise PermissionError("neither /dev/kmsg nor the journal may be read")
    for line in done.stdout.decode(errors="replace").splitlines():
        at = time_of_line(line)
        if at is not None and TELLING.search(line):
            yield at, line.partition("kernel: ")[2] or line
