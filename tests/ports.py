"""Ports of this machine for deployments that tests start: several test processes run at once, and
so may others, that know nothing of them."""

import contextlib
import os
import socket
from collections.abc import Iterator

BASE, FRONTEND = 12_000, 22_000  # both below the ports that the kernel gives to clients
BLOCKS, SIZE = 100, 90  # a run has some forty, or eighty once it has moved


@contextlib.contextmanager
def port_block() -> Iterator[tuple[int, int]]:
    """For `ports.base` and `frontend.port`: this test's as long as it holds them, and nothing
    listened on any of them before."""
    for number in range(BLOCKS):
        offset = (os.getpid() + number) * 37 % BLOCKS * SIZE  # two that begin at once meet seldom
        with socket.socket(socket.AF_UNIX) as lock:
            if _binds(lock, f"\0dsr1 tests, ports {offset}") and _all_free(offset):
                yield BASE + offset, FRONTEND + offset
                return
    raise AssertionError(f"of {BLOCKS} blocks of {SIZE} ports none is free")


def _all_free(offset: int) -> bool:
    return all(
        _is_free(base + offset + number) for base in (BASE, FRONTEND) for number in range(SIZE)
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return _binds(probe, ("", port))


def _binds(probe: socket.socket, address: str | tuple[str, int]) -> bool:
    with contextlib.suppress(OSError):
        probe.bind(address)
        return True
    return False
