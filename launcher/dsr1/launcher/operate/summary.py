"""What a list of runs shows of each, from its folder alone."""

import contextlib
from collections.abc import Mapping
from typing import Any

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.atomic import write_file
from dsr1.hosts.protocol.bounded import parse_bounded
from dsr1.launcher.run.folder import read_own_file
from dsr1.launcher.run.store import Run, list_runs

READY_AFTER = "ready-after"


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What can't be read, or isn't known yet, is empty. `launched_at`: seconds since the epoch;
    `ready_after_s`: from the command on, as the launch has seen it."""

    recipe: str
    model: str
    url: str
    hosts: tuple[str, ...]
    launched_at: float
    ready_after_s: float | None = None


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
        _ready_after(run),
    )


def save_ready_after(run: Run, seconds: float) -> None:
    with contextlib.suppress(OSError):  # a full disk keeps nobody from what serves
        write_file(run.folder / READY_AFTER, f"{seconds:.1f}".encode())


def _ready_after(run: Run) -> float | None:
    with contextlib.suppress(OSError, ValueError):
        seconds = float(read_own_file(run.folder / READY_AFTER))
        return seconds if 0 < seconds < 1e8 else None
    return None


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
        alike = summary.recipe == recipe and len(summary.hosts) == hosts
        if alike and summary.ready_after_s is not None:
            return summary.ready_after_s
    return None


def _mapping(run: Run, name: str) -> Mapping[str, Any]:
    """As it is in the file: a plan of many hosts takes long to become one."""
    with contextlib.suppress(OSError, ValueError):
        found = parse_bounded(read_own_file(run.folder / name))
        return found if isinstance(found, dict) else {}
    return {}
