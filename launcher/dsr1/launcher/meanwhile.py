"""Work that goes on beside something else, and that nobody waits for who leaves early."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def begin(work: Callable[[], Result]) -> "Future[Result]":
    """In a daemon thread: a pool's threads are waited for at the end of the program, also after Ctrl-C."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised again to who asks for the result
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
