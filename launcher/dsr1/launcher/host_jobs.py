"""A job on many hosts at once, each in a thread; its refusals become dsr1's errors, and Ctrl-C ends all of them."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from dsr1.hosts.access import Access
from dsr1.hosts.errors import CheckFailed, Dsr1Error, InputError, LaunchFailed
from dsr1.hosts.local import LocalTransport
from dsr1.hosts.model.job import Hear, Order, Progress, Refused, Told
from dsr1.hosts.ssh import SshTransport

KINDS: Mapping[str, type[Dsr1Error]] = {"input": InputError, "check": CheckFailed, "work": LaunchFailed}
HERE = "localhost"
Show = Callable[[str, Progress], None]
Results = dict[str, dict[str, Any] | Dsr1Error]


class Worker(Protocol):
    """What a transport offers for jobs."""

    def work(self, host: str, job: str, order: Order, hear: Hear) -> dict[str, Any]:
        """Raises HostError for a lost host, Refused for a job that can't be done."""

    def close(self) -> None:
        """End every job that runs."""


@contextmanager
def make_worker(accesses: Sequence[Access], python: str) -> Iterator[Worker]:
    """Over SSH; without accesses, this machine, under the name HERE."""
    with tempfile.TemporaryDirectory() as folder:
        worker: Worker = (
            SshTransport(accesses, "model", python) if accesses else LocalTransport(Path(folder), (python,))
        )
        try:
            yield worker
        finally:
            worker.close()


def work_on_all(worker: Worker, job: str, orders: Mapping[str, Order], show: Show) -> Results:
    """By host: its result, or why there is none. One that fails doesn't stop the others."""

    def one(host: str) -> dict[str, Any] | Dsr1Error:
        try:
            return worker.work(host, job, orders[host], partial(only_show, show, host))
        except Refused as refused:
            return KINDS.get(refused.kind, LaunchFailed)(f"{host}: {refused}")
        except Dsr1Error as error:
            return error

    with ThreadPoolExecutor(len(orders)) as pool:
        running = {host: pool.submit(one, host) for host in orders}
        return {host: _wait(future, worker) for host, future in running.items()}


def only_show(show: Show, host: str, heard: Progress | Told) -> None:
    """For jobs that go through by themselves."""
    if isinstance(heard, Progress):
        show(host, heard)


def _wait(future: "Future[dict[str, Any] | Dsr1Error]", worker: Worker) -> dict[str, Any] | Dsr1Error:
    """The pool waits for its threads whatever happens: only closed connections let them go."""
    try:
        return future.result()
    except KeyboardInterrupt:
        worker.close()
        raise LaunchFailed("interrupted; the same command goes on where it stopped") from None


def raise_worst(results: Results) -> None:
    """One error that names all, of the kind that most needs another command: input, then check, then the rest."""
    errors = [result for result in results.values() if isinstance(result, Dsr1Error)]
    if errors:
        kind = next(kind for kind in KINDS.values() if any(isinstance(error, kind) for error in errors))
        raise kind("\n".join(map(str, errors)))
