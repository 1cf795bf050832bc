"""How a process ended that is no child of ours.

Once its parent has collected it the kernel tells it by a pidfd (Linux 6.15 and later), before that
/proc does. Later kernels alone can't miss it.
"""

import fcntl
import os
import struct
from pathlib import Path

INFO = struct.Struct("QQ11Ii")  # struct pidfd_info of linux/pidfd.h, its first version
EXIT = 1 << 3  # PIDFD_INFO_EXIT
GET_INFO = 3 << 30 | INFO.size << 16 | 0xFF << 8 | 11  # PIDFD_GET_INFO
EXIT_CODE_FIELD = 49  # of /proc/PID/stat behind the name: exit_code, proc(5) field 52


def exit_code_of(pid: int, pidfd: int) -> int | None:
    """Negative for a signal; None: neither the kernel nor /proc tells any more. Its parent may
    collect it between two looks, so the kernel is asked again."""
    for status in (_by_pidfd(pidfd), _by_proc(pid), _by_pidfd(pidfd)):
        if status is not None:
            return os.waitstatus_to_exitcode(status)
    return None


def _by_pidfd(pidfd: int) -> int | None:
    buffer = bytearray(INFO.size)
    struct.pack_into("Q", buffer, 0, EXIT)
    try:
        fcntl.ioctl(pidfd, GET_INFO, buffer)
    except OSError:
        return None
    mask, *_, status = INFO.unpack(buffer)
    return int(status) if mask & EXIT else None


def _by_proc(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
        return int(text[text.rindex(")") + 2 :].split()[EXIT_CODE_FIELD])
    except (OSError, ValueError, IndexError):
        return None
