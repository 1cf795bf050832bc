"""Single keys of a terminal, without waiting for a line."""

import contextlib
import os
import select
import sys
import termios
import time
import tty


class KeyReader:
    """While the block lasts, keys come one by one, and aren't echoed. Without a terminal none
    come."""

    def __init__(self) -> None:
        self._file = -1
        self._before: list[object] = []

    def __enter__(self) -> "KeyReader":
        with contextlib.suppress(termios.error, ValueError, OSError):
            file = sys.stdin.fileno()
            self._before = termios.tcgetattr(file)
            tty.setcbreak(file, termios.TCSANOW)  # what was typed early counts
            self._file = file
        return self

    def __exit__(self, *_: object) -> None:
        if self._file >= 0:
            termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)  # type: ignore[arg-type]

    def read(self, seconds: float) -> str:
        """The next key, or nothing after so long."""
        if self._file < 0:
            time.sleep(seconds)
            return ""
        if not select.select([self._file], [], [], seconds)[0]:
            return ""
        data = os.read(self._file, 1)
        if not data:  # the terminal is gone
            time.sleep(seconds)
        return data.decode(errors="replace")
