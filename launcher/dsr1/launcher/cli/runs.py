"""`dsr1 ps`, `status`, `logs` and `stop`: a run from any shell."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from dsr1.launcher.cli.options import (
    AcceptNewKeys,
    AsJson,
    FoundHosts,
    RunName,
    Venv,
    chosen_hosts,
)

if TYPE_CHECKING:
    from dsr1.hosts.errors import HostError
    from dsr1.hosts.transport.results import Listener
    from dsr1.launcher.run.store import Run


def ps(
    hosts: FoundHosts = None,
    venv: Venv = "",
    accept_new_keys: AcceptNewKeys = False,
    as_json: AsJson = False,
) -> None:
    """List the runs, the newest last.

    With --hosts: what lives on these hosts, whether this machine knows of it or not.
    """
    if hosts is not None:
        from dsr1.launcher.cli.found_runs import host_python, print_found

        print_found(chosen_hosts(hosts, accept_new_keys), host_python(venv), as_json)
        return
    from dsr1.launcher.operate.status import phases
    from dsr1.launcher.run.store import list_runs

    runs = list_runs()
    found = phases(runs)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    print("\n".join(_line(run, found[run.name]) for run in runs) or "there are no runs")


def _line(run: "Run", phase: str) -> str:
    from dsr1.launcher.operate.status import UNREADABLE

    job = None if phase == UNREADABLE else run.job()
    return f"{run.name:<24} {phase:<12} {job or ''}".rstrip()


def status(
    run: RunName = None,
    as_json: AsJson = False,
    ports: Annotated[
        bool, typer.Option("--ports", help="What listens where, read from the hosts.")
    ] = False,
) -> None:
    """Tell how a run stands, from what really runs."""
    from dsr1.launcher.operate.status import find_any, refuse_unplanned

    found = find_any(run)
    if ports:
        refuse_unplanned(found)
        _ports(found, as_json)
    else:
        _standing(found, as_json)


def _ports(run: "Run", as_json: bool) -> None:
    from dsr1.hosts.errors import HostError
    from dsr1.launcher.run.stop import listeners_of

    seen = listeners_of(run)
    if as_json:
        print(json.dumps({host: _door_rows(doors) for host, doors in seen.items()}, indent=2))
        return
    for host, doors in seen.items():
        lines = (
            [str(doors)] if isinstance(doors, HostError) else [_door_line(door) for door in doors]
        )
        print("\n".join(f"{host:<16} {line}" for line in lines or ["nothing listens"]))


def _door_rows(doors: "tuple[Listener, ...] | HostError") -> object:
    if isinstance(doors, tuple):
        return [{**asdict(door), "everywhere": door.everywhere} for door in doors]
    return str(doors)


def _door_line(door: "Listener") -> str:
    return (
        f"{door.process:<16}"
        f" {door.address}:{door.port}{'  on every address' if door.everywhere else ''}"
    )


def _standing(run: "Run", as_json: bool) -> None:
    from rich.console import Console

    from dsr1.launcher.cli.view import rank_table
    from dsr1.launcher.operate.status import run_status

    seen, job = run_status(run), run.job()
    state = seen.state
    lacks = _lacks(run) if state.phase == "ready" else ""
    if as_json:
        told = {
            "run": run.name,
            **asdict(state),
            "supervised": seen.supervised,
            "alive": list(seen.alive),
        }
        told["lacks"] = lacks
        print(json.dumps(told | ({"job": str(job), "note": seen.note} if job else {}), indent=2))
        return
    supervised = seen.supervised or state.ended or state.phase in ("queued", "abandoned")
    lost = "" if supervised else ", its supervisor is gone"
    print(f"{run.name}: {state.phase}{lost}{f', {job}' if job else ''}")
    print(f"alive: {', '.join(seen.alive) or 'nothing'}")
    if lacks:
        print(f"asked from here: {lacks}")
    if seen.note:
        print(seen.note)
    if state.ranks:
        Console(highlight=False).print(
            rank_table(state.ranks, "last phase" if state.ended else "phase")
        )
    for note in state.notes:
        print(note)
    if state.reason:
        print(state.reason)
    if state.left:
        print(f"MAY STILL RUN: {'; '.join(state.left)}")


def _lacks(run: "Run") -> str:
    from dsr1.launcher.smoke.readiness import frontend_state

    return frontend_state(run.plan().service)


def logs(
    run: RunName = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends.")] = False,
) -> None:
    """Print the logs of every process.

    Each line begins with its process's name.
    """
    from dsr1.launcher.cli.view import print_logs
    from dsr1.launcher.operate.status import find_any, refuse_unplanned

    found = find_any(run)
    refuse_unplanned(found)
    print_logs(found, follow)


def stop(
    run: RunName = None,
    hosts: FoundHosts = None,
    venv: Venv = "",
    accept_new_keys: AcceptNewKeys = False,
) -> None:
    """End a run and prove that nothing of it is left.

    With --hosts: a run whose folder is lost, by what lives on these hosts.
    """
    if hosts is not None:
        from dsr1.launcher.cli.found_runs import host_python, stop_by_hosts

        stop_by_hosts(run, chosen_hosts(hosts, accept_new_keys), host_python(venv))
        return
    from dsr1.hosts.errors import LaunchFailed
    from dsr1.launcher.operate.status import find_any, stop_any

    found = find_any(run)
    left = stop_any(found)
    if left:
        raise LaunchFailed(f"{found.name}: may still run: {'; '.join(left)}")
    print(f"{found.name}: stopped, nothing of it is alive")


def supervise(run: RunName = None) -> None:
    """Take over a run whose supervisor is gone.

    Its processes went on; now they are watched again.
    """
    from dsr1.launcher.operate.status import find_any
    from dsr1.launcher.run.launch import take_over

    found = find_any(run)
    take_over(found)
    print(f"{found.name}: {found.state().phase}, supervised again")
