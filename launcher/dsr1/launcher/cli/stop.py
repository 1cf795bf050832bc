"""`dsr1 stop`: the end of a run, and the proof of it."""

from dsr1.hosts.errors import LaunchFailed
from dsr1.launcher.cli.options import RunName
from dsr1.launcher.operate.status import find_any, stop_any


def stop(run: RunName = None) -> None:
    """Stop a run and prove that nothing of it is left."""
    found = find_any(run)
    if left := stop_any(found):
        raise LaunchFailed(f"{found.name}: may still run: {'; '.join(left)}")
    print(f"{found.name}: stopped, nothing of it is alive")
