"""A process is told from another that has its pid."""

import os

from dsr1.hosts.protocol.boot import boot_id
from dsr1.hosts.protocol.identity import is_alive, parse_stat, read_stat, start_time

LINE = "42 (a) b (c) S 1 40 39 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 {threads} 0 12345 1 1"


def test_a_name_with_spaces_and_parentheses() -> None:
    stat = parse_stat(LINE.format(threads=3))
    assert (stat.pid, stat.state, stat.ppid, stat.pgid) == (42, "S", 1, 40)
    assert (stat.threads, stat.start_time) == (3, 12345.0)


def test_a_zombie_whose_threads_run_is_alive() -> None:
    zombie = LINE.replace(" S ", " Z ")
    assert not parse_stat(zombie.format(threads=1)).alive
    assert parse_stat(zombie.format(threads=2)).alive


def test_this_process() -> None:
    started = start_time(os.getpid())
    assert started is not None
    assert is_alive(os.getpid(), started, boot_id())
    assert not is_alive(os.getpid(), started + 1, boot_id())
    assert not is_alive(os.getpid(), started, "another boot")


def test_no_process() -> None:
    assert read_stat(2**22 + 1) is None
    assert start_time(2**22 + 1) is None
