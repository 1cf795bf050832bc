"""Which transport a run's agents are reached by."""

import sys

from dsr1.hosts.local import LocalTransport
from dsr1.hosts.ssh import SshTransport
from dsr1.hosts.transport import Transport
from dsr1.launcher.runs import Run


def transport_of(run: Run, python: str = "") -> Transport:
    """The run's own. Locally any Python ends and looks; `python` is the runtime's, which agents are started with."""
    settings = run.settings() if run.is_remote() or not python else None
    if settings is not None and settings.hosts:
        return SshTransport(settings.hosts, run.name, settings.python)
    return LocalTransport(run.folder / "hosts", (python or sys.executable,))
