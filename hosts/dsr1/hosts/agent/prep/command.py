"""Commands that prepare a host: found where root's tools lie, bounded in time, ended with all that
they started."""

from collections.abc import Callable, Sequence

from dsr1.hosts.agent.facts.reading.children import begin_command

TIMEOUT_S = 600.0  # an initramfs for each of several kernels
RunCommand = Callable[[Sequence[str]], str]
"""Runs a command; what went wrong, or nothing."""


def run_command(argv: Sequence[str], timeout: float = TIMEOUT_S) -> str:
    try:
        begin_command(argv, timeout)()
    except (OSError, ValueError) as error:
        return str(error)
    return ""
