"""`dsr1 status`: the state of a run, from what really runs."""

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from dsr1.hosts.errors import HostError, InputError
from dsr1.hosts.transport.results import Listener
from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.answers.hosts import errors_of
from dsr1.launcher.cli.answers.run_answers import status_errors, status_values
from dsr1.launcher.cli.options.common import AsJson, RunName
from dsr1.launcher.operate.status import find_any, refuse_unplanned, run_listeners, run_status
from dsr1.launcher.run.backend import RunStatus
from dsr1.launcher.run.store import Run

FAILED, UNWELL, NOT_SERVING = 4, 6, 7


def status(
    run: RunName = None,
    as_json: AsJson = False,
    ports: Annotated[
        bool, typer.Option("--ports", help="Show what listens where, as the hosts report it.")
    ] = False,
    url: Annotated[bool, typer.Option("--url", help="Print its URL alone, for a script.")] = False,
) -> None:
    """Show the state of a run and what is alive of it.

    Asked of the hosts, through the run's supervisor where it hears them, or of Slurm; not read from
    what the run wrote last. Exit code 0: it serves and is well; 6: it serves, and is not well; 4:
    it has failed; 7: it doesn't serve, yet or any more.
    """
    if url and (ports or as_json):
        raise InputError("--url prints the URL alone; --ports and --json print other things")
    found = find_any(run)
    if ports:
        refuse_unplanned(found)
        _print_listeners(found, as_json)
        return
    current = run_status(found)
    lacks = _ask_frontend(found) if current.state.serves else ""
    if url:
        refuse_unplanned(found)
        print(f"{found.service().url}/v1")
    elif as_json:
        ANSWER.put("status", status_values(found, current, lacks), status_errors(current))
    else:
        from dsr1.launcher.cli.views.status import print_status  # rich, for those who read it

        print_status(found, current, lacks)
    sys.exit(status_code(current, lacks))


def status_code(current: RunStatus, lacks: str) -> int:
    """Whether it serves as it should."""
    state = current.state
    if state.serves:
        well = state.phase == "ready" and current.supervised and not lacks
        return 0 if well else UNWELL
    return FAILED if state.phase == "failed" else NOT_SERVING


# httpx takes longer to import than the rest of this verb: only where it is needed.
def _ask_frontend(run: Run) -> str:
    from dsr1.launcher.smoke.readiness import frontend_state

    return frontend_state(run.service(), run.settings().access)


def _print_listeners(run: Run, as_json: bool) -> None:
    by_host = run_listeners(run)
    if as_json:
        rows = {host: _json_listeners(one) for host, one in by_host.items()}
        ANSWER.put("listeners", rows, errors_of(by_host))
        return
    for host, listeners in by_host.items():
        if isinstance(listeners, HostError):
            print(listeners)
            continue
        for line in map(_listener_line, listeners) if listeners else ("nothing listens",):
            print(f"{host:<16} {line}")


def _json_listeners(listeners: tuple[Listener, ...] | HostError) -> list[dict[str, object]]:
    if isinstance(listeners, HostError):
        return []
    return [{**asdict(one), "everywhere": one.everywhere} for one in listeners]


def _listener_line(one: Listener) -> str:
    everywhere = "  on every address" if one.everywhere else ""
    return f"{one.process:<16} {one.address}:{one.port}{everywhere}"
