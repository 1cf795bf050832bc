"""Where a run lives: the one place where that is decided. A new backend is one module and one row
here."""

from collections.abc import Callable, Mapping, Sequence

from dsr1.hosts.inventory.access import Access
from dsr1.launcher.run.backend import Backend
from dsr1.launcher.run.store import Run


def _slurm() -> Backend:
    from dsr1.launcher.batch.backend import SlurmBackend

    return SlurmBackend()


def _allocation() -> Backend:
    from dsr1.launcher.batch.allocated import AllocationBackend

    return AllocationBackend()


def _ssh() -> Backend:
    from dsr1.launcher.run.ssh import SshBackend

    return SshBackend()


def _local() -> Backend:
    from dsr1.launcher.run.local import LocalBackend

    return LocalBackend()


def _is_batch(run: Run) -> bool:
    return run.job() is not None or run.is_queued()


def _is_lent(run: Run) -> bool:
    return run.lent_allocation() is not None


def _is_any(run: Run) -> bool:
    return True


# By name: which runs live there, the first that fits; and the backend, loaded when it is needed.
BACKENDS: Mapping[str, tuple[Callable[[Run], bool], Callable[[], Backend]]] = {
    "allocation": (_is_lent, _allocation),
    "slurm": (_is_batch, _slurm),
    "ssh": (Run.is_remote, _ssh),
    "local": (_is_any, _local),
}


def backend_name(run: Run) -> str:
    return next(name for name, (lives_there, _) in BACKENDS.items() if lives_there(run))


def backend_of(run: Run) -> Backend:
    """LaunchFailed: the run's files can't be read."""
    return backend_named(backend_name(run))


def backend_named(name: str) -> Backend:
    _, load = BACKENDS[name]
    return load()


def backend_for(accesses: Sequence[Access], slurm: bool = False, lent: bool = False) -> Backend:
    """For a new run. `lent`: in an allocation that its user has."""
    if slurm or lent:
        return backend_named("slurm" if slurm else "allocation")
    return backend_named("ssh" if accesses else "local")
