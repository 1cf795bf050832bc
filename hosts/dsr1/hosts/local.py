"""The transport to agents on this machine: a subprocess to start and end them, their unix socket to talk."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from dsr1.hosts.agent import control
from dsr1.hosts.agent.bundle import make_bundle
from dsr1.hosts.commands import Command, Subscribe
from dsr1.hosts.errors import HostError
from dsr1.hosts.events import Gone
from dsr1.hosts.facts.fact import Fact
from dsr1.hosts.log_lines import read_logs
from dsr1.hosts.process import HostPlan
from dsr1.hosts.transport import NO_SECRETS, Door, HostState, Numbered, parse_doors, parse_facts, parse_look
from dsr1.hosts.wire import parse_event, parse_gone, render_command, render_start

START_S, LOOK_S, FACTS_S = 30.0, 30.0, 60.0
# The agent bounds it itself, by the longest grace of the plan; this is for an agent that hangs.
END_S = 300.0


class LocalLink:
    """One connection to an agent's socket."""

    def __init__(self, line: socket.socket, host: str) -> None:
        self._line = line
        self._host = host

    def send(self, command: Command) -> None:
        try:
            self._line.sendall(render_command(command))
        except OSError as error:
            raise HostError(f"{self._host}: the connection to its agent is lost ({error}); {_log_hint()}") from error

    def events(self) -> Iterator[Numbered]:
        """A line cut short by the loss of the connection is no event; it comes again to who attaches again."""
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

    def _parse(self, line: bytes) -> Numbered:
        try:
            return parse_event(line)
        except ValueError as error:
            raise HostError(f"{self._host}: its agent says what this dsr1 doesn't know: {error}") from error


def _log_hint() -> str:
    return "see agent.log in the agent's folder"


class LocalTransport:
    """Agents in `folder`/HOST, run by `python`, the runtime's (a tuple, so that a wrapper may stand before it)."""

    def __init__(self, folder: Path, python: tuple[str, ...]) -> None:
        self._folder = folder.absolute()
        self._python = python

    def start(self, plan: HostPlan, secrets: Mapping[str, str] = NO_SECRETS) -> None:
        done = self._run(plan.host, "start", START_S, render_start(plan, secrets))
        if done.returncode != 0:
            raise HostError(f"{plan.host}: the agent did not start: {_last_words(done)}")

    def attach(self, host: str, since: int) -> LocalLink:
        try:
            line = control.connect(self._folder / host)
        except OSError as error:
            raise HostError(f"{host}: its agent can't be reached: {error}") from error
        if line is None:
            raise HostError(f"{host}: no agent listens in {self._folder / host}; {_log_hint()}, then stop the run")
        link = LocalLink(line, host)
        link.send(Subscribe(since))
        return link

    def end(self, host: str) -> Gone:
        done = self._run(host, "end", END_S)
        try:
            return parse_gone(done.stdout)
        except ValueError as error:
            raise HostError(f"{host}: its processes may still run, ending them failed: {_last_words(done)}") from error

    def logs(self, host: str, follow: Callable[[], bool]) -> Iterator[tuple[str, str]]:
        return read_logs(self._folder / host, follow)

    def facts(self, host: str, model: str) -> dict[str, Fact]:
        asked = time.time()
        done = self._run(host, "facts", FACTS_S, target=model)
        try:
            return parse_facts(done.stdout, asked, time.time())
        except (ValueError, KeyError) as error:
            raise HostError(f"{host}: its facts can't be read: {_last_words(done)}") from error

    def doors(self, host: str) -> tuple[Door, ...]:
        done = self._run(host, "doors", LOOK_S)
        try:
            return parse_doors(done.stdout)
        except (ValueError, TypeError) as error:
            raise HostError(f"{host}: its sockets can't be read: {_last_words(done)}") from error

    def look(self, host: str) -> HostState:
        done = self._run(host, "look", LOOK_S)
        try:
            return parse_look(done.stdout)
        except (ValueError, KeyError, TypeError) as error:
            raise HostError(f"{host}: its records can't be read: {_last_words(done)}") from error

    def _run(
        self, host: str, verb: str, timeout: float, given: bytes = b"", target: str | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """`target` is what the verb is for; default: the host's folder."""
        try:
            argv = (
                *self._python,
                str(make_bundle(self._folder)),
                verb,
                str(self._folder / host) if target is None else target,
            )
            return subprocess.run(argv, input=given, capture_output=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired as error:
            raise HostError(f"{host}: the agent's `{verb}` took over {timeout:.0f} s; {_log_hint()}") from error
        except FileNotFoundError as error:
            wanted = f"{self._python[0]} is not there; name the runtime's Python in the recipe"
            raise HostError(f"{host}: {wanted} ({error})") from error
        except OSError as error:
            raise HostError(f"{host}: the agent can't be run with {self._python[0]}: {error}") from error


def _last_words(done: subprocess.CompletedProcess[bytes]) -> str:
    """The last lines are what a user can act on; a traceback's first ones aren't."""
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return " | ".join(lines[-3:]) or f"it said nothing (exit status {done.returncode})"
