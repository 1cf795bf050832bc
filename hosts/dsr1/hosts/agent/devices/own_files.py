"""What an agent's own folder tells of its host: the room on its disk, and what only logs say, the
balance of experts."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from dsr1.hosts.agent.facts.reading.files import read_tail
from dsr1.hosts.protocol.facts.devices import BALANCE, DISK

TAIL_BYTES, MOST_LOGS = 64 << 10, 64
_BALANCE = re.compile(rb"EPLB step: \d{1,12} .{0,400}?balancedness=(\d\.\d{1,9})")


def own_lines(folder: Path) -> Iterator[str]:
    """As lines of /metrics."""
    try:
        room = os.statvfs(folder)
    except OSError:
        return
    yield f"{DISK} {room.f_bavail * room.f_frsize}"
    for log in sorted((folder / "logs").glob("*.log"))[:MOST_LOGS]:
        if found := _BALANCE.findall(read_tail(log, TAIL_BYTES)):
            yield f'{BALANCE}{{of="{log.stem}"}} {found[-1].decode()}'
