"""The transport through a shell on each host, SSH's above all: agents in a private folder of each
host."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsr1.hosts.errors import HostError
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.protocol.codec import parse_event, render_command
from dsr1.hosts.protocol.commands import AgentCommand
from dsr1.hosts.protocol.job import JobLost, JobOrder, OnJobMessage, read_job, render_order
from dsr1.hosts.transport.base import AgentVerb, CommandResult, NumberedEvent, Transport
from dsr1.hosts.transport.bundle import bundle_name, render_bundle
from dsr1.hosts.transport.connection import SshHost
from dsr1.hosts.transport.shell import CommandChannel, Shell

SEE_S, SEND_S, SILENT_S = 30.0, 120.0, 60.0
LOG_WAIT_S = 0.5
FOREIGN, ABSENT, NO_PYTHON, SHUT = 90, 91, 92, 93
# Bytecode that root writes would be in the way of the Python's owner.
AS_SELF, AS_ROOT = "exec", "exec sudo -n -- env PYTHONDONTWRITEBYTECODE=1"

# The folder must be ours and closed before anything in it is trusted: /tmp is everybody's. $1 is
# the agent's file, $2 the Python, $3 what runs it, the rest its arguments, of which @ stands for
# the folder.
ENTER = """umask 077; d=/tmp/dsr1-$(id -u); [ -e "$d" ] || mkdir -m 700 "$d" || [ -e "$d" ] \\
|| exit 93
if [ -L "$d" ] || ! [ -d "$d" ] || ! [ -O "$d" ] || [ "$(stat -c %a "$d")" != 700 ]; then
echo "$d is not a folder of ours alone" >&2; exit 90; fi
"""
_RUN = f"""{ENTER}f=$d/$1; p=$2; x=$3; shift 3
if [ -L "$f" ] || ! [ -f "$f" ] || ! [ -O "$f" ]; then exit 91; fi
p=$(command -v -- "$p") || exit 92
n=$#; while [ "$n" -gt 0 ]; do a=$1; shift; n=$((n-1))
case $a in @*) a=$d${{a#@}};; esac; set -- "$@" "$a"; done
$x "$p" "$f" "$@"
"""
_PUT = f"""{ENTER}t=$d/$1.$$
mkdir -p "${{t%/*}}" && cat > "$t" && chmod "$2" "$t" && mv -f "$t" "$d/$1" \\
|| {{ rm -f "$t"; exit 1; }}
"""


@dataclass(frozen=True, slots=True)
class HostIntroduction:
    """What a host's agent saw of its host, see agent/seen.py."""

    boot_id: str
    hostname: str
    arch: str
    python: str
    gpus: int
    address: str
    interface: str


class ShellLink:
    """A channel to an agent's socket, by its `attach`."""

    def __init__(self, channel: CommandChannel, host: str) -> None:
        self._channel = channel
        self._host = host
        self._sending = threading.Lock()

    def send(self, command: AgentCommand) -> None:
        try:
            with self._sending:
                self._channel.sendall(render_command(command))
        except OSError as error:
            raise HostError(
                f"{self._host}: the connection to its agent is lost ({error})"
            ) from error

    def events(self) -> Iterator[NumberedEvent]:
        rest = b""
        while data := self._receive():
            *lines, rest = (rest + data).split(b"\n")
            yield from map(self._parse, lines)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._channel.close()

    def _receive(self) -> bytes:
        try:
            return bytes(self._channel.recv(65536))
        except OSError:
            return b""

    def _parse(self, line: bytes) -> NumberedEvent:
        try:
            return parse_event(line)
        except ValueError as error:
            raise HostError(
                f"{self._host}: its agent says what this dsr1 doesn't know: {error}"
            ) from error


class ShellTransport(Transport):
    """Agents of one run, in /tmp/dsr1-UID/RUN/HOST of every host, run by `python`, the runtime's
    own there."""

    def __init__(self, shells: Mapping[str, Shell], run: str, python: str) -> None:
        self._remotes = dict(shells)
        self._run_name, self._python = run, python
        self._bundle = render_bundle()

    def see(self, host: str, peer: str) -> HostIntroduction:
        """Raises HostError with a remedy when the host isn't one that an agent can run on."""
        answer = self.ask(host, AgentVerb("see", (peer,)))
        try:
            plain = json.loads(answer.out)
            return HostIntroduction(**{name: plain[name] for name in HostIntroduction.__slots__})
        except (ValueError, KeyError) as error:
            raise HostError(f"{host}: its agent can't run: {answer.last_words}") from error

    def put(self, host: str, file: Path, name: str) -> None:
        """Send a file once: its name, or its folder's, says its content: one that is there is whole
        and the same."""
        there = self._remotes[host].run(("sh", "-c", f'{ENTER}[ -O "$d/$1" ]', "dsr1", name), SEE_S)
        if there.code != 0:
            self._send(host, file.read_bytes(), name, "700")

    def ask(self, host: str, question: AgentVerb) -> CommandResult:
        """The agent is sent first where it isn't yet."""
        remote = self._remotes[host]
        values = (self._folder(host),) if question.values is None else question.values
        argv = self._argv((question.verb, *values), AS_ROOT if question.as_root else AS_SELF)
        answer = remote.run(argv, question.timeout_s, question.given)
        if answer.code == ABSENT:
            self._send(host, self._bundle, bundle_name(self._bundle), "600")
            answer = remote.run(argv, question.timeout_s, question.given)
        if answer.code == NO_PYTHON:
            raise HostError(
                f"{host}: {self._python} is not there; name the runtime's Python in the recipe's"
                " runtime"
            )
        if answer.code == SHUT:
            raise HostError(
                f"{host}: {answer.last_words}; dsr1 keeps its folder in /tmp, make room there"
            )
        if answer.code == FOREIGN:
            raise HostError(
                f"{host}: {answer.last_words}; have it removed: another user may have made it"
            )
        return answer

    def attach(self, host: str, since: int) -> ShellLink:
        argv = self._argv(("attach", self._folder(host), str(since)))
        return ShellLink(self._remotes[host].open(argv), host)

    def logs(self, host: str, follow: Callable[[], bool]) -> Iterator[tuple[str, str]]:
        """The agent's `logs` goes on for as long as its stdin is open."""
        channel = self._remotes[host].open(self._argv(("logs", self._folder(host))))
        channel.settimeout(LOG_WAIT_S)
        with contextlib.closing(channel):
            try:
                for line in _lines(channel, follow):
                    process, text = json.loads(line)
                    yield str(process), str(text)
            except (OSError, ValueError) as error:
                raise HostError(f"{host}: its logs can't be read on: {error}") from error

    def work(self, host: str, job: str, order: JobOrder, hear: OnJobMessage) -> dict[str, Any]:
        """The agent is put there first, by a look; `close`, from another thread too, ends the
        job."""
        self.see(host, "")
        channel = self._remotes[host].open(self._argv(("work", job)))
        channel.settimeout(SILENT_S)
        with contextlib.closing(channel):
            try:
                channel.sendall(render_order(order))
                return read_job(_told(channel), hear, channel.sendall)
            except JobLost as broken:
                raise HostError(f"{host}: its agent broke off: {broken}") from None
            except OSError as error:
                raise HostError(
                    f"{host}: lost while it worked ({str(error) or 'it fell silent'})"
                ) from error

    def close(self) -> None:
        for remote in self._remotes.values():
            remote.drop()

    def _folder(self, host: str) -> str:
        return f"@/{self._run_name}/{host}"

    def _argv(self, arguments: Sequence[str], by: str = AS_SELF) -> tuple[str, ...]:
        return ("sh", "-c", _RUN, "dsr1", bundle_name(self._bundle), self._python, by, *arguments)

    def _send(self, host: str, data: bytes, name: str, mode: str) -> None:
        done = self._remotes[host].run(("sh", "-c", _PUT, "dsr1", name, mode), SEND_S, data)
        if done.code != 0:
            raise HostError(f"{host}: can't be written to: {done.last_words}")


class SshTransport(ShellTransport):
    """Through one SSH connection a host."""

    def __init__(self, hosts: Sequence[Access], run: str, python: str) -> None:
        super().__init__({access.name: SshHost(access) for access in hosts}, run, python)


def _told(channel: CommandChannel) -> Iterator[bytes]:
    rest = b""
    while data := channel.recv(65536):
        *lines, rest = (rest + data).split(b"\n")
        yield from lines


def _lines(channel: CommandChannel, follow: Callable[[], bool]) -> Iterator[bytes]:
    """Whole lines; what comes after the last newline at a loss is no line."""
    rest, asked = b"", False
    while True:
        if not asked and not follow():
            channel.shutdown_write()
            asked = True
        try:
            data = channel.recv(65536)
        except TimeoutError:
            continue
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        yield from lines
