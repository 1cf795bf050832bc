"""How runs are and how one is stopped, wherever it lives."""

import time
from collections.abc import Sequence
from contextlib import suppress

from dsr1.hosts.errors import HostError, LaunchFailed, RunNotFound
from dsr1.hosts.transport.results import Listener
from dsr1.launcher.operate.backends import backend_name, backend_named, backend_of
from dsr1.launcher.operate.scraping.record import await_scraping_end, end_scraping
from dsr1.launcher.run.backend import OnDoubt, RunStatus
from dsr1.launcher.run.recovery import find_run_id
from dsr1.launcher.run.state import ABANDONED, ENDED, UNSUPERVISED, RunState
from dsr1.launcher.run.stop import listeners_of
from dsr1.launcher.run.store import Run, find_run, new_run
from dsr1.slurm.handle import parse_handle

UNREADABLE, ASK_S = "unreadable", 30.0


def find_any(name: str | None) -> Run:
    """By name or handle, or the newest. RunNotFound; of a handle it says what Slurm knows of that
    job."""
    try:
        return _current(find_run(name))
    except RunNotFound:
        handle = parse_handle(name or "")
        if handle is None:
            raise
    from dsr1.launcher.batch.jobs import describe_job

    raise RunNotFound(describe_job(handle))


def _current(run: Run) -> Run:
    """The run that has taken over from it, once it has ended."""
    while successor := _successor(run):
        if not run.state().ended:
            break
        run = successor
    return run


def _successor(run: Run) -> Run | None:
    """By its own word, too: the name may be another run's by now."""
    name = run.successor()
    found = new_run(name) if name else None
    return found if found and found.predecessor() == run.name else None


def run_status(run: Run) -> RunStatus:
    return backend_of(run).status(run)


def run_listeners(run: Run) -> dict[str, tuple[Listener, ...] | HostError]:
    """By host."""
    return listeners_of(run, backend_of(run).transport(run))


def refuse_unplanned(run: Run) -> None:
    """LaunchFailed for a run that hasn't come so far as to have a plan: it says why."""
    if not run.is_planned():
        state = run_status(run).state
        raise LaunchFailed(
            f"{run.name}: {state.phase}, and has no processes. {state.reason}".rstrip()
        )


def only_on(run: Run, state: RunState) -> str:
    """The name of another machine that all of it is on, where nobody else reaches it."""
    return "" if state.ended or run.is_remote() else run.elsewhere()


def refuse_elsewhere(run: Run) -> None:
    """LaunchFailed for a run that lives on another machine alone: it says on which."""
    if host := only_on(run, run.state()):
        raise LaunchFailed(
            f"{run.name}: runs on {host} alone, where it was launched, and nothing of it can be"
            " reached from here: ask there"
        )


def refuse_ended(run: Run) -> RunState:
    """Else how it is. LaunchFailed for a run that serves no more: it says why."""
    state = backend_of(run).state(run)
    if state.ended:
        raise LaunchFailed(
            f"{run.name}: {state.phase}, and no longer serves. {state.reason}".rstrip()
        )
    return state


class EndWatch:
    """Whether a run is over, for who asks often: Slurm and the hosts are asked now and then, since
    a supervisor that is killed leaves no word."""

    def __init__(self, run: Run) -> None:
        self._run, self._run_id, self._asked_at = run, "", time.monotonic()
        with suppress(LaunchFailed):
            self._run_id = run.run_id()

    def is_over(self) -> bool:
        """Also where its folder was removed; not where it can't be read for a moment."""
        if self._run_id and not self._run.is_still(self._run_id):
            return True
        try:
            return self._look()
        except LaunchFailed:
            return not self._run.folder.exists()

    def _look(self) -> bool:
        if self._run.state().ended:
            return True
        if time.monotonic() - self._asked_at < ASK_S:
            return False
        self._asked_at = time.monotonic()
        phase = phases([self._run])[self._run.name]
        if phase == UNSUPERVISED:
            return not run_status(self._run).alive
        return phase in (*ENDED, ABANDONED)


def phases(runs: Sequence[Run], doubt: OnDoubt = lambda _: None) -> dict[str, str]:
    """By name. Each backend is asked once for all of its runs; `doubt` is told what it couldn't
    ask."""
    names = {run.name: _backend_or_unreadable(run) for run in runs}
    found = {name: UNREADABLE for name, backend in names.items() if backend == UNREADABLE}
    for backend in sorted(set(names.values()) - {UNREADABLE}):
        own = [run for run in runs if names[run.name] == backend]
        found |= backend_named(backend).phases(own, doubt)
    return {run.name: found[run.name] for run in runs}


def _backend_or_unreadable(run: Run) -> str:
    try:
        run.state()
        return backend_name(run)
    except LaunchFailed:
        return UNREADABLE


def stop_any(run: Run) -> tuple[str, ...]:
    """What is left, in words; else nothing. Who scrapes it ends first."""
    run_id = find_run_id(run)
    end_scraping(run)
    left = backend_of(run).stop(run)
    if run.is_still(run_id):
        left = (*left, *await_scraping_end(run))
    successor = _successor(run)
    return (*left, *stop_any(successor)) if successor else left


def take_over_any(run: Run) -> None:
    """A new supervisor for a run that lost its own."""
    backend_of(run).take_over(run)
