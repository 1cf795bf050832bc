"""Runs that are found on their hosts, where the folder that they were launched from is lost:
listed, ended, or adopted, which rebuilds the folder from what the hosts keep."""

import contextlib
import time
from collections.abc import Mapping, Sequence

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import HostError, InputError, LaunchFailed, RunNotFound
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.protocol.events import Gone
from dsr1.hosts.transport.base import Transport
from dsr1.hosts.transport.connect import connect_hosts
from dsr1.hosts.transport.parallel import run_on_all, run_parallel
from dsr1.hosts.transport.results import HostRun
from dsr1.launcher.run.agents import StopResult
from dsr1.launcher.run.liveness.door import is_watched_here
from dsr1.launcher.run.spawn import WatchedElsewhere, take_over
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run, new_run

MIN_ID = 8


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A run as its hosts tell of it, by the name that each was asked under."""

    run: str
    run_id: str
    origin: str
    hosts: Mapping[str, tuple[HostRun, ...]]


@dataclass(frozen=True, slots=True)
class FoundRuns:
    """`unreached`: the errors of hosts that couldn't be asked."""

    runs: tuple[FoundRun, ...]
    unreached: tuple[str, ...]


def find_runs_on(accesses: Sequence[Access], python: str) -> FoundRuns:
    """Every run of this user that something lives of on these hosts; without any, on this one."""
    with connect_hosts(accesses, python) as (transport, hosts):
        return _find(transport, hosts)


def _find(transport: Transport, hosts: Sequence[str]) -> FoundRuns:
    answers = run_on_all(transport.runs, hosts)
    by_id: dict[str, dict[str, tuple[HostRun, ...]]] = {}
    for host, answer in answers.items():
        for found in answer if isinstance(answer, tuple) else ():
            on_hosts = by_id.setdefault(found.run_id, {})
            on_hosts[host] = (*on_hosts.get(host, ()), found)
    unreached = tuple(str(a) for a in answers.values() if isinstance(a, HostError))
    return FoundRuns(tuple(_gather(run_id, on) for run_id, on in by_id.items()), unreached)


def _gather(run_id: str, hosts: Mapping[str, tuple[HostRun, ...]]) -> FoundRun:
    parts = [part for parts in hosts.values() for part in parts]
    origin = next((part.origin for part in parts if part.origin), "")
    return FoundRun(parts[0].run, run_id, origin, hosts)


def choose_run(found: FoundRuns, name: str) -> FoundRun:
    """By its name, or the beginning of its identity. RunNotFound, or InputError where several have
    that name."""
    fitting = [run for run in found.runs if name == run.run or _begins(run.run_id, name)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        listed = "; ".join(f"{run.run_id}, launched by {run.origin}" for run in fitting)
        raise InputError(f"{name}: several runs have that name, choose by identity: {listed}")
    unreached = f"; not asked: {'; '.join(found.unreached)}" if found.unreached else ""
    known = ", ".join(run.run for run in found.runs) or "none"
    raise RunNotFound(f"nothing of run {name} lives on these hosts; runs there: {known}{unreached}")


def _begins(run_id: str, name: str) -> bool:
    return len(name) >= MIN_ID and run_id.startswith(name)


def stop_found(name: str, accesses: Sequence[Access], python: str) -> StopResult:
    """End a run on these hosts. A host that can't be asked may have something of it, too."""
    with connect_hosts(accesses, python) as (transport, hosts):
        found = _find(transport, hosts)
        chosen = choose_run(found, name)
        parts = {
            f"{host} {part.host}": (host, part)
            for host, parts in chosen.hosts.items()
            for part in parts
        }
        ended = run_parallel(lambda at: _end(transport, *at), parts)
    left = [line for gone in ended.values() for line in _left(gone)]
    spared = [f"{at}: {line}" for at, gone in ended.items() for line in _spared(gone)]
    return StopResult((*left, *found.unreached), found.unreached, tuple(spared))


def _end(transport: Transport, host: str, part: HostRun) -> Gone:
    return transport.stop_found(host, part, "`dsr1 stop` without the run's folder")


def _left(gone: Gone | HostError) -> tuple[str, ...]:
    return (str(gone),) if isinstance(gone, HostError) else gone.left


def _spared(gone: Gone | HostError) -> tuple[str, ...]:
    return () if isinstance(gone, HostError) else gone.spared


def adopt_run(name: str, accesses: Sequence[Access], python: str) -> Run:
    """The run's folder as it was, from what its hosts keep, and a supervisor for it.

    RunNotFound, InputError where the folder is there, LaunchFailed where no host keeps it.
    """
    with connect_hosts(accesses, python) as (transport, hosts):
        chosen = choose_run(_find(transport, hosts), name)
        refuse_watched(chosen)
        files = _kept_files(transport, chosen)
    run = new_run(chosen.run)
    if (run.folder / "run-id").exists():
        raise InputError(f"{run.name}: its folder is there; `dsr1 supervise {run.name}` watches it")
    _rebuild(run, files)
    try:
        take_over(run)
    except WatchedElsewhere:
        run.discard()
        raise
    return run


def refuse_watched(chosen: FoundRun) -> None:
    """InputError: two supervisors would end and start the same processes, each against the
    other."""
    if is_watched_here(chosen.run_id):
        raise InputError(
            f"{chosen.run}: its supervisor lives on this machine, launched by {chosen.origin}, with"
            " another folder of runs (DSR1_STATE_DIR): see to it from there"
        )
    for host, parts in chosen.hosts.items():
        for part in parts:
            if part.watched:
                raise InputError(
                    f"{chosen.run}: {host} hears its supervisor, {part.watched}: see to it from"
                    f" there, or end it with `dsr1 stop {chosen.run} --hosts ...`. One that is gone"
                    " without a word is believed for half a minute"
                )


def _kept_files(transport: Transport, chosen: FoundRun) -> dict[str, str]:
    for host, parts in chosen.hosts.items():
        for part in parts:
            with contextlib.suppress(HostError):
                if files := transport.kept_files(host, part):
                    return files
    raise LaunchFailed(
        f"{chosen.run}: none of {', '.join(chosen.hosts)} keeps the run's files: name its first"
        f" host, too; `dsr1 stop {chosen.run} --hosts ...` ends it"
    )


def _rebuild(run: Run, files: Mapping[str, str]) -> None:
    (run.folder / "secrets").mkdir(mode=0o700, parents=True, exist_ok=True)
    (run.folder / "discovery").mkdir(exist_ok=True)
    for name, text in files.items():
        run.write_kept(name, text)
    run.save(RunState("starting", time.time()))
