"""A run on its hosts: what of it lives, where it listens, and its end, whoever else lives."""

import os
import signal
import time
from contextlib import suppress
from dataclasses import replace
from queue import SimpleQueue

from dsr1.hosts.errors import HostError, LaunchFailed, RunNotFound
from dsr1.hosts.protocol.identity import RecordedProcess
from dsr1.hosts.transport.base import Transport
from dsr1.hosts.transport.results import HostState, Listener
from dsr1.launcher.run.agents import Agents
from dsr1.launcher.run.folder import SUPERVISOR_FILE
from dsr1.launcher.run.liveness.door import ask_supervisor
from dsr1.launcher.run.record.history import Change, record
from dsr1.launcher.run.recovery import (
    Remains,
    find_run_id,
    hosts_here,
    is_over,
    read_recovery_info,
    read_remains,
    unplaced,
)
from dsr1.launcher.run.state import ENDED, RunState
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.transport import transport_of, transport_to

POLL_S, HUNG_S, STOP_S = 0.05, 10.0, 60.0


def stop_run(run: Run) -> tuple[str, ...]:
    """End a run, whoever else lives: its supervisor, its agents, or only the processes. What is
    left, else nothing. Once more, where somebody has begun to watch it meanwhile."""
    while True:
        remains = end_supervisor(run)
        if run.elsewhere() and is_over(run) and not run.is_remote():
            return ()  # nobody else can prove it of that machine
        left = end_hosts(run, remains)
        if left or _supervisor_of(run, remains.run_id, None) is None:
            return left


def end_supervisor(run: Run) -> Remains:
    """Asked to end, it says at once that it stops; one that doesn't is hung, and is killed. Gives
    what the run is ended by, as it was last: its folder may be another run's by then.

    HostError: it is on another machine, and says nothing.
    """
    remains = read_remains(run)
    if (elsewhere := run.elsewhere()) and not is_over(run):
        _end_elsewhere(run, remains.run_id, elsewhere)
    last, deadline, heard = None, 0.0, False
    while found := _supervisor_of(run, remains.run_id, last):
        if found != last:  # a launch may just have handed its run to a supervisor
            _signal(found.pid, signal.SIGTERM)
            last, deadline = found, time.monotonic() + HUNG_S
        if not heard and _is_stopping(run):
            heard, deadline = True, time.monotonic() + STOP_S
        if time.monotonic() > deadline:
            _signal(found.pid, signal.SIGKILL)
            deadline = time.monotonic() + HUNG_S
        time.sleep(POLL_S)
    return read_remains(run) if run.is_still(remains.run_id) else remains


def _supervisor_of(run: Run, run_id: str, last: RecordedProcess | None) -> RecordedProcess | None:
    """The one that lives, or `last`, which was asked; this very process is none: a launch rolls
    itself back. A run that has the name by now has its own."""
    found = (run.supervisor_record() if run.is_still(run_id) else None) or last
    return found if found and found.lives and found.pid != os.getpid() else None


def _end_elsewhere(run: Run, run_id: str, host: str) -> None:
    """By the folder that both machines see."""
    run.ask_to_stop()
    deadline, heard = time.monotonic() + HUNG_S, False
    while run.is_still(run_id) and _phase(run) not in ENDED:
        if not heard and _is_stopping(run):
            heard, deadline = True, time.monotonic() + STOP_S
        if time.monotonic() > deadline:
            run.forget_asked_stop()
            raise HostError(
                f"{run.name}: its supervisor was started on {host}, and doesn't answer from there:"
                f" `dsr1 stop {run.name}` on {host}. If that machine is gone for good, remove"
                f" {run.folder / SUPERVISOR_FILE} first"
            )
        time.sleep(POLL_S)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _is_stopping(run: Run) -> bool:
    return _phase(run) == "stopping"


def _phase(run: Run) -> str:
    with suppress(LaunchFailed):
        return run.state().phase
    return ""


def end_hosts(run: Run, remains: Remains) -> tuple[str, ...]:
    """Also after an orderly stop: this is the proof. It reads the agents' own records, not the
    run's state."""
    info = remains.info
    python = info.python if info.hosts else ""
    transport = transport_to(run, info.hosts, python, remains.run_id)
    ended = Agents(transport, SimpleQueue(), 0).end(remains.hosts)
    run.spared, left = ended.spared, (*ended.left, *remains.unknown)
    if not left:
        close_run(run, remains.run_id)
    return left


def close_run(run: Run, run_id: str) -> None:
    """Nothing of it lives. Of a folder that is another run's by now nothing is changed."""
    if not run.is_still(run_id):
        return
    with suppress(RunNotFound), run.locked():
        if run.is_still(run_id):
            _mark_stopped(run)
            run.drop_secrets()


def host_names(run: Run) -> tuple[str, ...]:
    if run.is_remote():
        return (*run.host_names(), *run.settings().replaced)
    return hosts_here(run)


def _mark_stopped(run: Run) -> None:
    try:
        state = run.state()
    except LaunchFailed:
        state = RunState("unreadable", time.time())
    try:
        if not state.ended:
            why, now = "stopped after its supervisor was gone", time.time()
            run.save(RunState("stopped", now, reason=why))
            record(run, Change(now, "dsr1 stop", "stopped", why))
        elif state.left:
            run.save(replace(state, left=()))
    except FileNotFoundError:
        return  # a launch that is ended while it still asks discards its run
    except OSError as error:
        raise LaunchFailed(
            f"{run.folder}: nothing of it is alive, but can't be written: {error.strerror}"
        ) from None


def listeners_of(run: Run, transport: Transport) -> dict[str, tuple[Listener, ...] | HostError]:
    """By host: every port that the run's processes listen on."""
    return Agents(transport, SimpleQueue(), 0).doors(host_names(run))


def look_at_hosts(run: Run) -> dict[str, tuple[str, ...] | HostError]:
    """By host the names of the processes that live: by the word of the run's supervisor, which
    every agent answers just then; who isn't among them is asked, and looks at its processes.
    LaunchFailed: nothing tells which hosts it has."""
    if unknown := unplaced(run, read_recovery_info(run)):
        raise LaunchFailed(*unknown)
    hosts = host_names(run)
    told: dict[str, tuple[str, ...] | HostError] = {**ask_supervisor(find_run_id(run))}
    if untold := tuple(host for host in hosts if host not in told):
        found = Agents(transport_of(run), SimpleQueue(), 0).look(untold)
        told |= {host: _living(state) for host, state in found.items()}
    return {host: told[host] for host in hosts}


def _living(state: HostState | HostError) -> tuple[str, ...] | HostError:
    if isinstance(state, HostError):
        return state
    return tuple(process.name for process in state.processes if process.state == "running")
