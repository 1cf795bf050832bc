"""Which transport a supervisor of this machine has to its agents."""

import sys
from collections.abc import Sequence

from dsr1.hosts.inventory.access import Access
from dsr1.hosts.transport.base import Transport
from dsr1.hosts.transport.local import LocalTransport
from dsr1.hosts.transport.ssh import SshTransport
from dsr1.launcher.run.recovery import find_run_id
from dsr1.launcher.run.store import Run


def transport_of(run: Run, python: str = "") -> Transport:
    """To the run's hosts. `python` is the runtime's, which agents here are started with."""
    settings = run.settings() if run.is_remote() or not python else None
    if settings is not None and settings.hosts:
        return transport_to(run, settings.hosts, settings.python)
    return transport_to(run, (), python)


def transport_to(run: Run, hosts: Sequence[Access], python: str) -> Transport:
    """Over SSH to these hosts; without any, to agents on this machine. Any Python stops and
    inspects those."""
    if hosts:
        return SshTransport(hosts, run.name, python, find_run_id(run))
    return LocalTransport(run.folder / "hosts", (python or sys.executable,), find_run_id(run))
