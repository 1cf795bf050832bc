"""Which transport a supervisor of this machine has to its agents."""

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dsr1.hosts.errors import LaunchFailed
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.transport.base import Transport
from dsr1.hosts.transport.bundle import make_bundle
from dsr1.hosts.transport.local import LocalTransport
from dsr1.hosts.transport.ssh import SshTransport
from dsr1.launcher.run.recovery import find_run_id
from dsr1.launcher.run.store import Run
from dsr1.launcher.state_folder import state_folder
from dsr1.slurm.allocation import Allocation

if TYPE_CHECKING:
    from dsr1.slurm.job_queue import Queue
    from dsr1.slurm.transport import SrunTransport

SILENT_S = 60.0


def queue() -> "Queue":
    """Of Slurm's jobs: shared by all dsr1 of this user."""
    from dsr1.slurm.job_queue import Queue  # what no other run needs

    state_folder().mkdir(parents=True, exist_ok=True, mode=0o700)
    return Queue(state_folder() / "squeue.json")


def programs_beside(folder: Path) -> Path:
    """Where the agent's program lies for hosts that see the run's folder, by its content: not in
    there, since asking for a run that is removed would bring its folder back."""
    return folder.with_name(".programs")


def step_transport(
    folder: Path, allocation: Allocation, python: str, silent_s: float, run: str, run_id: str
) -> "SrunTransport":
    """`folder` is the run's, on a file system that the nodes share, as all of this user's are."""
    from dsr1.slurm.step import StepProgram
    from dsr1.slurm.transport import SrunTransport

    program = StepProgram(
        python, str(make_bundle(programs_beside(folder))), silent_s, allocation.step_options
    )
    return SrunTransport(allocation, program, run, folder / "hosts", run_id)


def transport_of(run: Run, python: str = "", run_id: str = "") -> Transport:
    """To the run's hosts. `python` is the runtime's, which agents here are started with; `run_id`
    as in `transport_to`."""
    settings = run.settings() if run.is_remote() or not python else None
    if settings is not None and settings.hosts:
        return transport_to(run, settings.hosts, settings.python, run_id)
    return transport_to(run, (), python, run_id)


def transport_to(run: Run, hosts: Sequence[Access], python: str, run_id: str = "") -> Transport:
    """Over SSH to these hosts, or by steps of an allocation; without any, to agents on this
    machine. Any Python stops and inspects those. `run_id`: the run's identity, where it is known
    from before."""
    run_id = run_id or find_run_id(run)
    if hosts and (allocation := run.lent_allocation()):
        silent_s = _silent_s(run)
        return step_transport(run.folder, allocation, python, silent_s, run.name, run_id)
    if hosts:
        return SshTransport(hosts, run.name, python, run_id)
    folder = run.folder / "hosts"
    python_here = (python or sys.executable,)
    return LocalTransport(folder, python_here, run_id, run.elsewhere(), programs_beside(run.folder))


def _silent_s(run: Run) -> float:
    """Also of a run whose settings can't be read."""
    with contextlib.suppress(LaunchFailed):
        return run.settings().lost_s
    return SILENT_S
