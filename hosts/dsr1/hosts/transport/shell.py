"""A host's shell, whatever carries it: commands that always end, and channels to talk with one that
goes on."""

from collections.abc import Sequence
from typing import Protocol

from dsr1.hosts.transport.base import MOST_ANSWER, CommandResult


class CommandChannel(Protocol):
    """A command that runs, as paramiko's channel has it."""

    def settimeout(self, timeout: float | None, /) -> None: ...

    def sendall(self, data: bytes, /) -> object:
        """OSError when the connection is lost."""

    def recv(self, nbytes: int, /) -> bytes:
        """Empty at its end. TimeoutError."""

    def shutdown_write(self) -> None: ...

    def close(self) -> None: ...


class Shell(Protocol):
    """One host's. Every method raises HostError, with the host's name and a remedy."""

    def run(
        self, argv: Sequence[str], timeout: float, given: bytes = b"", most: int = MOST_ANSWER
    ) -> CommandResult:
        """Run a command with `given` on its stdin. The two output streams stay apart. BadAnswer:
        its output has more than `most` bytes."""

    def open(self, argv: Sequence[str]) -> CommandChannel:
        """Start a command and return its channel."""

    def drop(self) -> None:
        """Close the connection; the next command opens another."""
