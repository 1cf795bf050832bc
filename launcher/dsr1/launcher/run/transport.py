"""Which transport a run's agents are reached by."""

import sys
from collections.abc import Sequence

from dsr1.hosts.inventory.access import Access
from dsr1.hosts.transport.base import Transport
from dsr1.hosts.transport.local import LocalTransport
from dsr1.hosts.transport.ssh import SshTransport
from dsr1.launcher.run.recovery import find_run_id
from dsr1.launcher.run.store import Run


def transport_of(run: Run, python: str = "") -> Transport:
    """The run's own. Locally any Python ends and looks; `python` is the runtime's, which agents are
    started with."""
    if run.job():
        return _steps_of(run)
    settings = run.settings() if run.is_remote() or not python else None
    if settings is not None and settings.hosts:
        return transport_to(run, settings.hosts, settings.python)
    return transport_to(run, (), python)


def transport_to(run: Run, hosts: Sequence[Access], python: str) -> Transport:
    """Over SSH to these hosts; without any, to agents on this machine."""
    if hosts:
        return SshTransport(hosts, run.name, python, find_run_id(run))
    return LocalTransport(run.folder / "hosts", (python or sys.executable,), find_run_id(run))


def _steps_of(run: Run) -> Transport:
    """From outside of the job: each host is looked at through a step of its own."""
    from dsr1.hosts.transport.bundle import make_bundle
    from dsr1.slurm.step import StepProgram
    from dsr1.slurm.transport import SrunTransport

    settings = run.settings()
    keeper = StepProgram(settings.python, str(make_bundle(run.folder)), settings.lost_s)
    return SrunTransport(run.allocation(), keeper, run.name, run.folder / "hosts", run.run_id())
