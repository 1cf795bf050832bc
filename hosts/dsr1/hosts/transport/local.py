"""The transport to agents on this machine: a subprocess to start and end them, their unix socket to
talk."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from dsr1.hosts.errors import HostError
from dsr1.hosts.protocol import control
from dsr1.hosts.protocol.codec import parse_event, render_command
from dsr1.hosts.protocol.commands import AgentCommand, Subscribe
from dsr1.hosts.protocol.job import JobLost, JobOrder, OnJobMessage, read_job, render_order
from dsr1.hosts.protocol.log_lines import read_logs
from dsr1.hosts.transport.base import AgentVerb, CommandResult, NumberedEvent, Transport
from dsr1.hosts.transport.bundle import make_bundle

AS_ROOT = (
    "sudo",
    "-n",
    "--",
    "env",
    "PYTHONDONTWRITEBYTECODE=1",
)  # root's bytecode would be in its owner's way


class LocalLink:
    """One connection to an agent's socket."""

    def __init__(self, line: socket.socket, host: str) -> None:
        self._line = line
        self._host = host

    def send(self, command: AgentCommand) -> None:
        try:
            self._line.sendall(render_command(command))
        except OSError as error:
            raise HostError(
                f"{self._host}: the connection to its agent is lost ({error}); {_log_hint()}"
            ) from error

    def events(self) -> Iterator[NumberedEvent]:
        """A line cut short by the loss of the connection is no event; it comes again to who
        attaches again."""
        rest = b""
        while data := self._receive():
            *lines, rest = (rest + data).split(b"\n")
            yield from map(self._parse, lines)

    def close(self) -> None:
        """Shutting it down first wakes a reader in another thread."""
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)
        self._line.close()

    def _receive(self) -> bytes:
        try:
            return self._line.recv(65536)
        except OSError:
            return b""

    def _parse(self, line: bytes) -> NumberedEvent:
        try:
            return parse_event(line)
        except ValueError as error:
            raise HostError(
                f"{self._host}: its agent says what this dsr1 doesn't know: {error}"
            ) from error


def _log_hint() -> str:
    return "see agent.log in the agent's folder"


class LocalTransport(Transport):
    """Agents in `folder`/HOST, run by `python`, the runtime's (a tuple, so that a wrapper may stand
    before it)."""

    def __init__(self, folder: Path, python: tuple[str, ...]) -> None:
        self._folder = folder.absolute()
        self._python = python
        self._jobs: list[subprocess.Popen[bytes]] = []

    def ask(self, host: str, question: AgentVerb) -> CommandResult:
        values = (str(self._folder / host),) if question.values is None else question.values
        first = AS_ROOT if question.as_root else ()
        try:
            argv = (*first, *self._python, str(make_bundle(self._folder)), question.verb, *values)
            done = subprocess.run(
                argv,
                input=question.given,
                capture_output=True,
                timeout=question.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            late = f"the agent's `{question.verb}` took over {question.timeout_s:.0f} s"
            raise HostError(f"{host}: {late}; {_log_hint()}") from error
        except FileNotFoundError as error:
            if question.as_root and error.filename == AS_ROOT[0]:
                return CommandResult(127, b"", b"sudo: not found")
            wanted = f"{self._python[0]} is not there; name the runtime's Python in the recipe"
            raise HostError(f"{host}: {wanted} ({error})") from error
        except OSError as error:
            raise HostError(
                f"{host}: the agent can't be run with {self._python[0]}: {error}"
            ) from error
        return CommandResult(done.returncode, done.stdout, done.stderr)

    def work(self, host: str, job: str, order: JobOrder, hear: OnJobMessage) -> dict[str, Any]:
        """`close`, from another thread too, ends the job."""
        with self._begin(host, job) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            try:
                os.write(child.stdin.fileno(), render_order(order))
                return read_job(child.stdout, hear, partial(os.write, child.stdin.fileno()))
            except JobLost as broken:
                raise HostError(f"{host}: its agent broke off: {broken}") from None
            except BrokenPipeError:
                raise HostError(
                    f"{host}: its agent could not begin: {child.stdout.read().decode()}"
                ) from None
            finally:
                child.kill()

    def _begin(self, host: str, job: str) -> "subprocess.Popen[bytes]":
        argv = (*self._python, str(make_bundle(self._folder)), "work", job)
        try:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a terminal's Ctrl-C is ours alone: we end it
            )
        except OSError as error:
            raise HostError(f"{host}: {self._python[0]} can't be run: {error.strerror}") from error
        self._jobs.append(child)
        return child

    def close(self) -> None:
        for child in self._jobs:
            if child.poll() is None:
                child.kill()

    def attach(self, host: str, since: int) -> LocalLink:
        try:
            line = control.connect_to_socket(self._folder / host)
        except OSError as error:
            raise HostError(f"{host}: its agent can't be reached: {error}") from error
        if line is None:
            raise HostError(
                f"{host}: no agent listens in {self._folder / host}; {_log_hint()}, then stop"
                " the run"
            )
        link = LocalLink(line, host)
        link.send(Subscribe(since))
        return link

    def logs(self, host: str, follow: Callable[[], bool]) -> Iterator[tuple[str, str]]:
        return read_logs(self._folder / host, follow)
