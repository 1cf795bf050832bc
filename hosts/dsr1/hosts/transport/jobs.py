"""A job on many hosts at once, each in a thread; its refusals become dsr1's errors, and Ctrl-C ends
all of them."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from dsr1.hosts.errors import CheckFailed, Dsr1Error, InputError, LaunchFailed
from dsr1.hosts.protocol.job import JobMessage, JobOrder, JobProgress, JobRefused
from dsr1.hosts.transport.connect import HostTransport

KINDS: Mapping[str, type[Dsr1Error]] = {
    "input": InputError,
    "check": CheckFailed,
    "work": LaunchFailed,
}
OnJobProgress = Callable[[str, JobProgress], None]
JobResults = dict[str, dict[str, Any] | Dsr1Error]


def run_job_on_all(
    way: HostTransport, job: str, orders: Mapping[str, JobOrder], show: OnJobProgress
) -> JobResults:
    """By host: its result, or why there is none. One that fails doesn't stop the others."""

    def one(host: str) -> dict[str, Any] | Dsr1Error:
        try:
            return way.work(host, job, orders[host], partial(ignore_messages, show, host))
        except JobRefused as refused:
            return KINDS.get(refused.kind, LaunchFailed)(f"{host}: {refused}")
        except Dsr1Error as error:
            return error

    with ThreadPoolExecutor(len(orders)) as pool:
        running = {host: pool.submit(one, host) for host in orders}
        return {host: _wait(future, way) for host, future in running.items()}


def ignore_messages(show: OnJobProgress, host: str, heard: JobProgress | JobMessage) -> None:
    """For jobs that go through by themselves."""
    if isinstance(heard, JobProgress):
        show(host, heard)


def _wait(
    future: "Future[dict[str, Any] | Dsr1Error]", way: HostTransport
) -> dict[str, Any] | Dsr1Error:
    """The pool waits for its threads whatever happens: only closed connections let them go."""
    try:
        return future.result()
    except KeyboardInterrupt:
        way.close()
        raise LaunchFailed("interrupted; the same command goes on where it stopped") from None


def raise_worst(results: JobResults) -> None:
    """One error that names all, of the kind that most needs another command: input, then check,
    then the rest."""
    errors = [result for result in results.values() if isinstance(result, Dsr1Error)]
    if errors:
        kind = next(
            kind for kind in KINDS.values() if any(isinstance(error, kind) for error in errors)
        )
        raise kind("\n".join(map(str, errors)))
