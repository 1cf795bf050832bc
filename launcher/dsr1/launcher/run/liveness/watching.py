"""This very process as the supervisor of a run, as its agents are told."""

import functools
import getpass
import os
import socket

from dsr1.hosts.protocol.http import HttpGet, HttpGot
from dsr1.hosts.protocol.identity import is_alive, record_process
from dsr1.hosts.protocol.lease import Watcher, other_holder, take_lease

MOST_BEAT_S = 5.0
HAS_LEFT = ": this supervisor has left"  # as the note ends of one whose run is another's


@functools.cache
def lease_of(pid: int) -> HttpGet:
    own = record_process(pid)
    words = f"{getpass.getuser()} on {socket.gethostname()} (pid {pid})"
    return take_lease(Watcher(pid, own.started, own.boot, words))


def own_lease() -> HttpGet:
    return lease_of(os.getpid())


def beat_s(lost_s: float) -> float:
    """How often both sides tell that they live."""
    return min(MOST_BEAT_S, lost_s / 4)


def rival_of(got: HttpGot) -> str:
    """In words, another supervisor that an agent tells of. One of this machine that is dead is
    none: its connection is about to end."""
    other = other_holder(got)
    if other is None or (other.boot == record_process(os.getpid()).boot and not _lives(other)):
        return ""
    return other.words


def _lives(watcher: Watcher) -> bool:
    return is_alive(watcher.pid, watcher.started, watcher.boot)
