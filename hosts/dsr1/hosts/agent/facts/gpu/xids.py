"""Xids, the NVIDIA driver's errors, from the kernel's log: /dev/kmsg, or the journal where that is
closed."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from dsr1.hosts.agent.facts.reading.children import begin_command, begin_value
from dsr1.hosts.agent.facts.reading.files import read
from dsr1.hosts.protocol.facts.fact import FactValue, Reader

XID = re.compile(r"NVRM: Xid \((?:PCI:)?([0-9a-fA-F:.]+)[^)]*\): (\d+)")
JOURNAL = (
    "journalctl",
    "--dmesg",
    "--boot",
    "--no-pager",
    "--quiet",
    "--output=short-monotonic",
    "--lines=20000",
)
RECORD, LOG_S, MOST = 8192, 10.0, 200


def log_readers(root: Path) -> list[Reader]:
    return [("kernel.xids", "/dev/kmsg, else journalctl --dmesg", begin_log(root))]


def begin_log(root: Path) -> Callable[[], FactValue]:
    """OSError: neither may be read (kernel.dmesg_restrict)."""
    kmsg = root / "dev/kmsg"
    if _opens(kmsg):
        ring = begin_value(lambda: read_kmsg(kmsg), LOG_S)
        return lambda: find_xids(str(ring()), time_of_record, _uptime(root))
    journal = begin_command(JOURNAL, LOG_S)
    return lambda: find_xids(journal(), time_of_line, _uptime(root))


def _opens(kmsg: Path) -> bool:
    """Its mode lets everybody read, and the kernel may still refuse."""
    try:
        os.close(os.open(kmsg, os.O_RDONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def _uptime(root: Path) -> float:
    return float(read(root / "proc/uptime").split()[0])


def read_kmsg(kmsg: Path) -> str:
    """One record a read; the last one that there is ends it. EPIPE: a record was overwritten
    meanwhile."""
    ring = os.open(kmsg, os.O_RDONLY | os.O_NONBLOCK)
    records = []
    try:
        while record := next_record(ring):
            if b"NVRM: Xid" in record:
                records.append(record.decode(errors="replace"))
    finally:
        os.close(ring)
    return "\n".join(records)


def next_record(ring: int) -> bytes:
    """Of the kernel's log. Empty at the end. One that was overwritten meanwhile is passed over."""
    try:
        return os.read(ring, RECORD)
    except BrokenPipeError:
        return b"\n"
    except BlockingIOError:
        return b""


def time_of_record(line: str) -> float | None:
    """`4,1234,98765432,-;text`: seconds after boot; None for a line that isn't the head of a
    record."""
    found = re.match(r"\d+,\d+,(\d+),", line)
    return int(found[1]) / 1e6 if found else None


def time_of_line(line: str) -> float | None:
    """`[ 98.765432] host kernel: text`."""
    found = re.match(r"\[\s*(\d+(?:\.\d+)?)\]", line)
    return float(found[1]) if found else None


def find_xids(text: str, when: Callable[[str], float | None], uptime_s: float) -> list[FactValue]:
    """The newest last: which, on which GPU, and how many seconds ago; None where the line doesn't
    say when."""
    return list(_xids(text, when, uptime_s))[-MOST:]


def _xids(text: str, when: Callable[[str], float | None], uptime_s: float) -> Iterator[FactValue]:
    for line in text.splitlines():
        if found := XID.search(line):
            seconds = when(line)
            ago = None if seconds is None else max(0.0, round(uptime_s - seconds, 1))
            yield {"xid": int(found[2]), "pci": found[1], "ago_s": ago}
