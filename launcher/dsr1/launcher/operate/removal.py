"""Runs that are over, and the removal of what is kept of them."""

from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.launcher.operate.backends import backend_of
from dsr1.launcher.run.recovery import find_run_id
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run


def remove_run(run: Run) -> None:
    """Its folder, with its logs. InputError: it isn't over, or something of it may live, or another
    run has taken its name while that was asked."""
    run_id = find_run_id(run)
    refuse_living(run, how_it_is(run))
    with run.locked():
        if not run.is_still(run_id):
            raise InputError(f"{run.name}: is another run by now, of the same name; it was let be")
        run.discard()


def how_it_is(run: Run) -> RunState | None:
    """None: its state can't be read."""
    try:
        return backend_of(run).state(run)
    except LaunchFailed:
        return None


def refuse_living(run: Run, state: RunState | None) -> None:
    if state is None:
        raise InputError(
            f"{run.name}: its state can't be read, so something of it may live:"
            f" `dsr1 stop {run.name}` first"
        )
    if not state.ended:
        raise InputError(f"{run.name}: is {state.phase}: `dsr1 stop {run.name}` first")
    if state.left:
        raise InputError(
            f"{run.name}: may still run: {'; '.join(state.left)}; `dsr1 stop {run.name}` first"
        )
