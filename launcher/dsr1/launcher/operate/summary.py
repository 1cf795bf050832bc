"""What a list of runs shows of each, from its folder alone."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dsr1.hosts.errors import LaunchFailed
from dsr1.hosts.protocol.bounded import parse_bounded
from dsr1.launcher.run.folder import read_own_file
from dsr1.launcher.run.store import Run, list_runs


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What can't be read, or isn't known yet, is empty. `launched_at`: seconds since the epoch."""

    recipe: str
    model: str
    url: str
    hosts: tuple[str, ...]
    launched_at: float


def summarize(run: Run) -> RunSummary:
    recipe, plan = _mapping(run, "recipe.json"), _mapping(run, "plan.json")
    service = plan.get("service")
    service = service if isinstance(service, dict) else {}
    hosts = plan.get("hosts")
    rows = [one for one in hosts if isinstance(one, dict)] if isinstance(hosts, list) else []
    return RunSummary(
        str(recipe.get("name", "")),
        str(service.get("model", "")),
        _url(service),
        tuple(str(one.get("host", "")) for one in rows),
        run.claimed_at(),
    )


def _url(service: Mapping[str, Any]) -> str:
    """As the plan's own."""
    host, port = service.get("host"), service.get("port")
    scheme = "https" if service.get("secured") else "http"
    return f"{scheme}://{host}:{port}" if host and port else ""


def usual_start_s(recipe: str, hosts: int) -> float | None:
    """How long the newest run of that recipe on as many hosts took to serve. None: there is
    none."""
    for run in reversed(list_runs()):
        summary = summarize(run)
        if summary.recipe == recipe and len(summary.hosts) == hosts:
            with contextlib.suppress(LaunchFailed):
                if (took := run.state().ready_after) is not None:
                    return took
    return None


def _mapping(run: Run, name: str) -> Mapping[str, Any]:
    """As it is in the file: a plan of many hosts takes long to become one."""
    with contextlib.suppress(OSError, ValueError):
        found = parse_bounded(read_own_file(run.folder / name))
        return found if isinstance(found, dict) else {}
    return {}
