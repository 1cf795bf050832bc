"""Runs as their hosts tell of them: for `dsr1 ps --hosts`, `stop --hosts` and `adopt`."""

from collections.abc import Sequence

from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.hosts.inventory.access import Access
from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.views.spared import print_spared
from dsr1.launcher.run.adoption import FoundRun, adopt_run, find_runs_on, stop_found


def host_python(venv: str) -> str:
    """What asks the hosts: any Python from 3.10."""
    return f"{venv}/bin/python" if venv else "python3"


def print_found(accesses: Sequence[Access], python: str, as_json: bool) -> None:
    """LaunchFailed after the list, where a host couldn't be asked."""
    found = find_runs_on(accesses, python)
    if as_json:
        ANSWER.put("found-runs", found.runs)
    else:
        print("\n".join(map(_line, found.runs)) or "nothing of any run lives there")
    if found.unreached:
        raise LaunchFailed("\n".join(found.unreached))


def _line(run: FoundRun) -> str:
    parts = [part for parts in run.hosts.values() for part in parts]
    alive = sum(len(part.alive) for part in parts)
    watched = next((f", watched by {part.watched}" for part in parts if part.watched), "")
    return (
        f"{run.run:<24} {run.run_id[:8]}  {alive} processes on {', '.join(run.hosts)}"
        f"  launched by {run.origin or 'somebody unknown'}{watched}"
    )


def stop_by_hosts(name: str | None, accesses: Sequence[Access], python: str) -> None:
    if name is None:
        raise InputError("--hosts: name the run to stop; `dsr1 ps --hosts ...` lists them")
    ended = stop_found(name, accesses, python)
    print_spared(ended.spared)
    if ended.left:
        raise LaunchFailed(f"{name}: may still run: {'; '.join(ended.left)}")
    print(f"{name}: stopped, nothing of it is alive on these hosts")


def adopt_by_hosts(name: str, accesses: Sequence[Access], python: str) -> None:
    run = adopt_run(name, accesses, python)
    ANSWER.put("supervised-run", {"run": run.name, "phase": run.state().phase})
    print(f"{run.name}: {run.state().phase}, adopted in {run.folder}")
