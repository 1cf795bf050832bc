"""`dsr1 stop`: the end of a run, and the proof of it."""

from dsr1.hosts.errors import LaunchFailed
from dsr1.launcher.cli.options.common import FoundHostOptions, RunName, Venv
from dsr1.launcher.operate.status import find_any, stop_any


def stop(hosts: FoundHostOptions, run: RunName = None, venv: Venv = "") -> None:
    """Stop a run and prove that nothing of it is left.

    With --hosts: a run whose folder is lost, by what lives on these hosts.
    """
    accesses = hosts.accesses()
    if accesses is not None:
        from dsr1.launcher.cli.views.found_runs import host_python, stop_by_hosts

        stop_by_hosts(run, accesses, host_python(venv))
        return
    found = find_any(run)
    if left := stop_any(found):
        raise LaunchFailed(f"{found.name}: may still run: {'; '.join(left)}")
    print(f"{found.name}: stopped, nothing of it is alive")
