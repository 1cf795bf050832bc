"""The same for many hosts at once, in daemon threads: nobody waits for them who leaves early, by
Ctrl-C above all.

A pool's threads are waited for at the end of the program, whatever has happened.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeVar

from dsr1.hosts.errors import Dsr1Error, HostError

AT_ONCE, LOOK_UP_S, COUNT_S = 32, 0.5, 0.2
OnCount = Callable[[str, int, int], None]
"""What is being done for each of several, how many are done, and of how many."""
_WATCHING: ContextVar[OnCount | None] = ContextVar("watching", default=None)
ItemT = TypeVar("ItemT")
ReturnT = TypeVar("ReturnT")


@contextmanager
def watch_parallel(count: OnCount) -> Iterator[None]:
    """Whoever does something for many meanwhile, in this thread, tells how far that is."""
    token = _WATCHING.set(count)
    try:
        yield
    finally:
        _WATCHING.reset(token)


def begin_in_thread(work: Callable[[], ReturnT]) -> "Future[ReturnT]":
    """Something that goes on beside something else."""
    future: Future[ReturnT] = Future()
    threading.Thread(target=_settle, args=(future, work), daemon=True).start()
    return future


def _settle(future: "Future[ReturnT]", work: Callable[[], ReturnT]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001 - it is raised again to who asks for the result
        future.set_exception(error)


def run_parallel(
    work: Callable[[ItemT], ReturnT],
    items: Mapping[str, ItemT],
    at_once: int = AT_ONCE,
    what: str = "",
) -> dict[str, ReturnT | HostError]:
    """Do it for every item, in so many threads at most; an item that fails keeps its error. What
    hasn't begun when the caller leaves, by Ctrl-C, never does. Whoever watches is told `what` is
    being done, and how far that is."""
    waiting: SimpleQueue[str] = SimpleQueue()
    futures: dict[str, Future[ReturnT | HostError]] = {}
    for name in items:
        waiting.put(name)
        futures[name] = Future()
    left_early = threading.Event()

    def work_on() -> None:
        while not left_early.is_set():
            try:
                name = waiting.get_nowait()
            except Empty:
                return
            _settle(futures[name], partial(_result_or_error, work, items[name]))

    try:
        for _ in range(min(at_once, len(items))):
            threading.Thread(target=work_on, daemon=True).start()
        return _gather(futures, what)
    finally:
        left_early.set()


def run_on_all(
    work: Callable[[str], ReturnT], hosts: Iterable[str], at_once: int = AT_ONCE, what: str = ""
) -> dict[str, ReturnT | HostError]:
    """The same where a name is all that the work needs."""
    return run_parallel(work, {host: host for host in hosts}, at_once, what)


def _gather(futures: "Mapping[str, Future[ReturnT]]", what: str) -> dict[str, ReturnT]:
    count = _WATCHING.get() if what else None
    while count is not None and (done := sum(map(Future.done, futures.values()))) < len(futures):
        count(what, done, len(futures))
        wait(futures.values(), COUNT_S)
    found = {name: _await(future) for name, future in futures.items()}
    if count is not None:
        count(what, len(found), len(futures))
    return found


def _await(future: "Future[ReturnT]") -> ReturnT:
    """Looks up now and then: a signal that comes just before a wait without an end isn't seen."""
    while not future.done():
        wait((future,), LOOK_UP_S)
    return future.result()


def _result_or_error(work: Callable[[ItemT], ReturnT], item: ItemT) -> ReturnT | HostError:
    try:
        return work(item)
    except HostError as error:
        return error


def answered(results: Mapping[str, ReturnT | Dsr1Error]) -> dict[str, ReturnT]:
    """Of the hosts that didn't fail."""
    return {host: one for host, one in results.items() if not isinstance(one, Dsr1Error)}


def failed(results: Mapping[str, object]) -> dict[str, Dsr1Error]:
    """Of the hosts that did, why."""
    return {host: one for host, one in results.items() if isinstance(one, Dsr1Error)}


def raise_all(results: Mapping[str, ReturnT | HostError]) -> dict[str, ReturnT]:
    """Raise one HostError that names every host that failed, not the first alone; else what they
    answered."""
    if errors := dict.fromkeys(map(str, failed(results).values())):
        raise HostError("\n".join(errors))
    return answered(results)
