"""The same for many hosts at once, in daemon threads: nobody waits for them who leaves early, by
Ctrl-C above all.

A pool's threads are waited for at the end of the program, whatever has happened.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

from dsr1.hosts.errors import HostError

AT_ONCE = 32
ItemT = TypeVar("ItemT")
ReturnT = TypeVar("ReturnT")


def begin_in_thread(work: Callable[[], ReturnT]) -> "Future[ReturnT]":
    """Something that goes on beside something else."""
    future: Future[ReturnT] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised again to who asks for the result
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def run_parallel(
    work: Callable[[ItemT], ReturnT], items: Mapping[str, ItemT]
) -> dict[str, ReturnT | HostError]:
    """Do it for every item, several at a time; an item that fails keeps its error."""
    room, left_early = threading.Semaphore(AT_ONCE), threading.Event()

    def one(item: ItemT) -> ReturnT | HostError:
        with room:
            if left_early.is_set():
                return HostError("not begun: nobody waits for it any more")
            try:
                return work(item)
            except HostError as error:
                return error

    begun = {name: begin_in_thread(partial(one, item)) for name, item in items.items()}
    try:
        return {name: future.result() for name, future in begun.items()}
    finally:
        left_early.set()


def raise_all(results: Mapping[str, object]) -> None:
    """Raise one HostError that names every host that failed, not the first alone."""
    errors = dict.fromkeys(str(error) for error in results.values() if isinstance(error, HostError))
    if errors:
        raise HostError("\n".join(errors))
