"""Start, follow and stop runs on this machine: the edge where a plan becomes processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dsr1.hosts.errors import CheckFailed, HostError, LaunchFailed
from dsr1.hosts.host import this_machine
from dsr1.hosts.local import LocalTransport
from dsr1.launcher.plan import make_plan
from dsr1.launcher.recipe import Recipe
from dsr1.launcher.runs import Run, Settings, State, new_run
from dsr1.launcher.topology import GPUS_PER_NODE, wanted_nodes

POLL_S, STOP_S = 0.05, 60.0


def start_run(run: Run, recipe: Recipe) -> None:
    """Write the run down, then start its supervisor in a session of its own."""
    plan = make_plan(recipe, this_machine(wanted_nodes(recipe), GPUS_PER_NODE), run.name, str(run.folder))
    run.create(recipe, plan, _settings(recipe))
    argv = [sys.executable, "-m", "dsr1.launcher.supervisor", str(run.folder)]
    with (run.folder / "supervisor.log").open("wb") as log, deferred_interrupt():
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        run.record_supervisor(child.pid)


@contextmanager
def deferred_interrupt() -> Iterator[None]:
    """Hold a Ctrl-C back while something would be started and not yet recorded; it comes right after."""
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if seen:
            signal.raise_signal(signal.SIGINT)


def _settings(recipe: Recipe) -> Settings:
    limits = recipe.timeouts
    return Settings(
        python=recipe.runtime.interpreter,
        prepare_s=limits.prepare,
        ready_s=limits.ready,
        importing_s=limits.importing,
        loading_s=limits.loading,
        compiling_s=limits.compiling,
        chat_s=limits.chat,
    )


def launch_run(recipe: Recipe, name: str, show: Callable[[State], None]) -> Run:
    """Start a run and show every state until it serves. Ctrl-C or failure leaves nothing running.

    Raises LaunchFailed, or CheckFailed when a host isn't fit.
    """
    run = new_run(name)
    try:
        start_run(run, recipe)
        state = _wait(run, ("ready", "stopped", "failed"), show)
    except KeyboardInterrupt:
        stop_run(run)
        raise LaunchFailed(f"{run.name}: interrupted; everything that had been started is gone") from None
    if state.phase == "ready":
        return run
    kind = CheckFailed if state.exit_code == 3 else LaunchFailed
    raise kind(f"{run.name}: {state.reason}\nlogs: {run.folder}/hosts/*/logs")


def _wait(run: Run, phases: tuple[str, ...], show: Callable[[State], None]) -> State:
    while True:
        alive, state = run.supervisor(), run.state()
        show(state)
        if state.phase in phases:
            return state
        if alive is None:
            raise LaunchFailed(f"{run.name}: its supervisor is gone; `dsr1 stop {run.name}` ends what it left")
        time.sleep(POLL_S)


def stop_run(run: Run) -> tuple[str, ...]:
    """End a run, whoever else lives: its supervisor, its agents, or only the processes. What is left, else nothing."""
    pid = run.supervisor()
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    while run.supervisor() is not None and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return _end_hosts(run)


def _end_hosts(run: Run) -> tuple[str, ...]:
    """Also after an orderly stop: this is the proof. It reads the agents' own records, not the run's state."""
    folder = run.folder / "hosts"
    hosts = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    transport = LocalTransport(folder, (sys.executable,))
    left = tuple(name for host in hosts for name in transport.end(host).left)
    if not left:
        _mark_stopped(run)
    return left


def _mark_stopped(run: Run) -> None:
    try:
        ended = run.state().ended
    except LaunchFailed:
        ended = False
    if not ended:
        run.save(State("stopped", time.time(), reason="stopped after its supervisor was gone"))


def alive_processes(run: Run) -> list[str]:
    """Names of the processes that live, from the agents' records."""
    folder = run.folder / "hosts"
    transport = LocalTransport(folder, (sys.executable,))
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir():
            found += _running(transport, path.name)
    return sorted(found)


def _running(transport: LocalTransport, host: str) -> list[str]:
    try:
        return [process.name for process in transport.look(host).processes if process.state == "running"]
    except HostError as error:
        return [f"{host}: {error}"]
