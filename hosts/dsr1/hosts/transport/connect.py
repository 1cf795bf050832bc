"""Transports to hosts without a run: to ask, prepare or give them jobs."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from dsr1.hosts.inventory.access import Access
from dsr1.hosts.transport.base import Transport
from dsr1.hosts.transport.local import LocalTransport
from dsr1.hosts.transport.ssh import SshTransport

HERE = "localhost"


@contextmanager
def over_ssh(accesses: Sequence[Access], python: str) -> Iterator[SshTransport]:
    """Connections are opened as they are needed, and closed at the end; jobs that still run end
    with them."""
    with closing(SshTransport(accesses, "no-run", python)) as transport:
        yield transport


@contextmanager
def connect_hosts(
    accesses: Sequence[Access], python: str
) -> Iterator[tuple[Transport, tuple[str, ...]]]:
    """With the names of the hosts. Without accesses it leads to this machine, under the name
    HERE."""
    if accesses:
        with over_ssh(accesses, python) as transport:
            yield transport, tuple(access.name for access in accesses)
    else:
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
            closing(LocalTransport(Path(folder), (python,))) as here,
        ):
            yield here, (HERE,)
