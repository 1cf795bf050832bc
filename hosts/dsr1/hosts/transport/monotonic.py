"""paramiko's spans of time by the monotonic clock. It reckons them from the wall's: a clock that is
set ahead would end every wait at once, one that is set back would stop its signs of life."""

import functools
import time


class MonotonicTime:
    """In the place of the module `time`."""

    time = staticmethod(time.monotonic)

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)


@functools.cache
def keep_monotonic_time() -> None:
    """Of all that waits in paramiko 3 to 5; what it writes of files' times stays."""
    from paramiko import auth_handler, buffered_pipe, channel, packet, proxy, transport

    for module in (auth_handler, buffered_pipe, channel, packet, proxy, transport):
        vars(module)["time"] = MonotonicTime()
