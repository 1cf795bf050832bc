"""The transport to agents on this machine: a subprocess to start and end them, their unix socket to
talk."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from dsr1.hosts.errors import HostError
from dsr1.hosts.protocol import control
from dsr1.hosts.protocol.commands import Subscribe
from dsr1.hosts.protocol.log_lines import STREAM_BLOCK, read_logs
from dsr1.hosts.protocol.marks import AgentIdentity
from dsr1.hosts.transport.as_root import AS_SELF, RUN_BY, run_by
from dsr1.hosts.transport.base import AgentVerb, CommandResult, JobStream, Transport
from dsr1.hosts.transport.bundle import make_bundle
from dsr1.hosts.transport.link import StreamLink
from dsr1.hosts.transport.output import Output, run_here

HINT = "see agent.log in the agent's folder"


class UnixStream:
    """An agent's socket. Shutting it down before it is closed wakes a reader in another thread."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self.sendall, self.recv = line.sendall, line.recv

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)
        self._line.close()


class LocalTransport(Transport):
    """Agents in `folder`/HOST, run by `python`, the runtime's (a tuple, so that a wrapper may stand
    before it). `elsewhere`: the machine that they are on, where that is another one, which shares
    the folder: their logs can be read. `programs`: where the agent's program is put, if not beside
    them."""

    def __init__(
        self,
        folder: Path,
        python: tuple[str, ...],
        run_id: str = "",
        elsewhere: str = "",
        programs: Path | None = None,
    ) -> None:
        self._folder = folder.absolute()
        self._programs = (programs or folder).absolute()
        self._python, self._run_id, self._elsewhere = python, run_id, elsewhere
        self._jobs: list[subprocess.Popen[bytes]] = []

    def _refuse_elsewhere(self, host: str) -> None:
        if self._elsewhere:
            raise HostError(
                f"{host}: is {self._elsewhere}, where the run was launched: ask there; nothing can"
                " be told from here"
            )

    def run_verb(self, host: str, verb: AgentVerb) -> CommandResult:
        self._refuse_elsewhere(host)
        own = (str(self._folder / host), self._run_id, host)
        values = (*(own if verb.values is None else verb.values), *verb.more)
        argv = self._argv(verb.name, *values)
        if verb.by != AS_SELF:
            argv = self._argv_by(verb.by, verb.name, *values)
        try:
            return run_here(argv, verb.timeout_s, verb.stdin, Output(host, verb.most))
        except TimeoutError as error:
            late = f"the agent's `{verb.name}` took over {verb.timeout_s:.0f} s"
            raise HostError(f"{host}: {late}; {HINT}") from error
        except OSError as error:
            raise self._no_python(host, error) from error

    def attach(self, host: str, since: int) -> StreamLink:
        self._refuse_elsewhere(host)
        folder = self._folder / host
        try:
            line = control.connect_to_socket(AgentIdentity(self._run_id, host))
        except OSError as error:
            raise HostError(f"{host}: its agent can't be reached: {error}") from error
        if line is None:
            raise HostError(f"{host}: no agent listens for {folder}; {HINT}, then stop the run")
        link = StreamLink(UnixStream(line), host, f"; {HINT}")
        link.send(Subscribe(since))
        return link

    def logs(self, host: str, follow: Callable[[], bool]) -> Iterator[tuple[str, str]]:
        return read_logs(self._folder / host, follow)

    @contextlib.contextmanager
    def open_job(self, host: str, job: str) -> Iterator[JobStream]:
        self._refuse_elsewhere(host)
        with self._start_job(host, job) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            try:
                blocks = iter(partial(os.read, child.stdout.fileno(), STREAM_BLOCK), b"")
                yield JobStream(partial(os.write, child.stdin.fileno()), blocks)
            finally:
                child.kill()

    def _start_job(self, host: str, job: str) -> "subprocess.Popen[bytes]":
        try:
            child = subprocess.Popen(
                self._argv("job", job),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a terminal's Ctrl-C is ours alone: we end it
            )
        except OSError as error:
            raise self._no_python(host, error) from error
        self._jobs.append(child)
        return child

    def close(self) -> None:
        for child in self._jobs:
            if child.poll() is None:
                child.kill()

    def _argv(self, *arguments: str) -> tuple[str, ...]:
        return (*self._python, str(make_bundle(self._programs)), *arguments)

    def _argv_by(self, by: str, *arguments: str) -> tuple[str, ...]:
        agent = make_bundle(self._programs)
        script = f"p=$1; f=$2; shift 2\n{RUN_BY}"
        how = run_by(by, agent.read_bytes)
        return ("sh", "-c", script, "dsr1", self._python[-1], str(agent), *how, *arguments)

    def _no_python(self, host: str, error: OSError) -> HostError:
        why = f"{self._python[0]} can't be run ({error.strerror})"
        return HostError(f"{host}: {why}; name the runtime's Python in the recipe, or use --venv")
