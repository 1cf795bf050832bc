"""`dsr1 status`: the state of a run, from what really runs."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from dsr1.hosts.errors import HostError
from dsr1.hosts.transport.results import Listener
from dsr1.launcher.cli.options.common import AsJson, RunName
from dsr1.launcher.operate.status import (
    find_any,
    refuse_unplanned,
    run_listeners,
    run_status,
)
from dsr1.launcher.run.backend import RunStatus
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run

EXIT_CODES = {"failed": 4, "degraded": 6}


def status(
    run: RunName = None,
    as_json: AsJson = False,
    ports: Annotated[
        bool, typer.Option("--ports", help="Show what listens where, as the hosts report it.")
    ] = False,
) -> None:
    """Show the state of a run and what is alive of it.

    Asked of the hosts or of Slurm, not read from what the run wrote last. Exit code 6: it serves,
    and not all of its ranks are well; 4: it has failed.
    """
    found = find_any(run)
    if ports:
        refuse_unplanned(found)
        _print_listeners(found, as_json)
    else:
        sys.exit(_print_status(found, as_json))


def _print_listeners(run: Run, as_json: bool) -> None:
    by_host = run_listeners(run)
    if as_json:
        print(json.dumps({host: _json_listeners(one) for host, one in by_host.items()}, indent=2))
        return
    for host, listeners in by_host.items():
        for line in _listener_lines(listeners):
            print(f"{host:<16} {line}")


def _json_listeners(listeners: tuple[Listener, ...] | HostError) -> object:
    if isinstance(listeners, HostError):
        return str(listeners)
    return [{**asdict(one), "everywhere": one.everywhere} for one in listeners]


def _listener_lines(listeners: tuple[Listener, ...] | HostError) -> list[str]:
    if isinstance(listeners, HostError):
        return [str(listeners)]
    return [_listener_line(one) for one in listeners] or ["nothing listens"]


def _listener_line(one: Listener) -> str:
    everywhere = "  on every address" if one.everywhere else ""
    return f"{one.process:<16} {one.address}:{one.port}{everywhere}"


def _print_status(run: Run, as_json: bool) -> int:
    """Gives the exit code: whether it serves as it should."""
    current = run_status(run)
    lacks = _ask_frontend(run) if current.state.serves else ""
    if as_json:
        print(json.dumps(_json_status(run, current, lacks), indent=2))
        return EXIT_CODES.get(current.state.phase, 0)
    for line in _head_lines(run, current, lacks):
        print(line)
    state = current.state
    if state.ranks:
        _print_ranks(state)
    for line in (*state.notes, state.reason):
        if line:
            print(line)
    if state.left:
        print(f"MAY STILL RUN: {'; '.join(state.left)}")
    return EXIT_CODES.get(state.phase, 0)


# httpx and rich take longer to import than the rest of this verb: only where they are needed.
def _ask_frontend(run: Run) -> str:
    from dsr1.launcher.smoke.readiness import frontend_state

    return frontend_state(run.plan().service, run.settings().access)


def _print_ranks(state: RunState) -> None:
    """How far each is while it starts, and how it is while it serves."""
    if state.serves:
        from dsr1.launcher.cli.views.health import print_health

        print_health(state)
        return
    from dsr1.launcher.cli.views.ranks import print_ranks

    print_ranks(state.ranks, "last phase" if state.ended else "phase")


def _json_status(run: Run, current: RunStatus, lacks: str) -> dict[str, object]:
    job = run.job()
    return {
        "run": run.name,
        **asdict(current.state),
        "supervised": current.supervised,
        "alive": list(current.alive),
        "lacks": lacks,
        "url": run.plan().service.url if current.state.serves else "",
        **({"job": str(job), "note": current.note} if job else {}),
    }


def _last_failure(state: RunState) -> str:
    """Of a run that was started again since."""
    return f"its last failure: {state.cause_lines[0]}"


def _head_lines(run: Run, current: RunStatus, lacks: str) -> Iterator[str]:
    state, job = current.state, run.job()
    supervised = current.supervised or state.ended or state.phase in ("queued", "abandoned")
    lost = "" if supervised else ", its supervisor is gone"
    yield f"{run.name}: {state.phase}{lost}{f', {job}' if job else ''}"
    if state.cause:
        yield from state.cause_lines if not state.serves else (_last_failure(state),)
    yield f"alive: {', '.join(current.alive) or 'nothing'}"
    if state.serves:
        yield f"at {run.plan().service.url}/v1"
    if lacks:
        yield f"seen from this machine: {lacks}"
    if current.note:
        yield current.note
