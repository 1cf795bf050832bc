"""Ctrl-C, SIGTERM and SIGHUP while something is started and not yet recorded."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDING, ASK_S = (signal.SIGTERM, signal.SIGHUP), 0.5


def interrupt_on_signals() -> None:
    """`kill`, `timeout` and a terminal that closes end this process as Ctrl-C does. What is ignored
    stays so: nohup."""
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


class NotedInterrupts:
    """As interrupt_on_signals, and it is remembered that one came: who tidies up after it may end
    with an error of its own."""

    def __init__(self) -> None:
        self.came = False
        for number in (signal.SIGINT, *ENDING):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        signal.default_int_handler(number, frame)


@contextmanager
def interrupted_if(is_asked: Callable[[], bool]) -> Iterator[None]:
    """As by Ctrl-C, once that is so: of who can't be sent a signal, from another machine say."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(ASK_S):
            if is_asked():
                os.kill(os.getpid(), signal.SIGINT)
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()


@contextmanager
def deferred_interrupt() -> Iterator[None]:
    """Hold back what would end this process while something is started and not yet recorded; it
    comes right after. It meets the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    before = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, *ENDING)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    for number in before:
        signal.signal(number, lambda number, _: received.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])
