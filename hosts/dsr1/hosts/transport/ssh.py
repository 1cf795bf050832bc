"""The transport through a shell on each host, SSH's above all: agents in a private folder of each
host."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from dsr1.hosts.errors import BadAnswer, HostError
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.protocol.log_lines import STREAM_BLOCK, split_lines
from dsr1.hosts.protocol.plain import parse_json
from dsr1.hosts.transport.as_root import AS_SELF, RUN_BY, run_by
from dsr1.hosts.transport.base import AgentVerb, CommandResult, JobStream, Transport
from dsr1.hosts.transport.bundle import bundle_name, render_bundle
from dsr1.hosts.transport.connection import SshHost
from dsr1.hosts.transport.link import StreamLink
from dsr1.hosts.transport.shell import CommandChannel, Shell

TEST_S, SEND_S, SILENT_S = 30.0, 120.0, 60.0
LOG_WAIT_S = 0.5
FOREIGN, ABSENT, NO_PYTHON, SHUT = 90, 91, 92, 93

# The folder must be ours and closed before anything in it is trusted: /tmp is everybody's. $1 is
# the agent's file, $2 the Python, the rest how it is run and its arguments, of which @ stands for
# the folder. $m is for the agent's file alone, where there is no room in /tmp: what runs is asked
# and ended all the same.
ENTER = """umask 077; u=$(id -u); d=/tmp/dsr1-$u; m=/dev/shm/dsr1-$u
ours() { ! [ -L "$1" ] && [ -d "$1" ] && [ -O "$1" ] && [ "$(stat -c %a "$1")" = 700 ]; }
[ -e "$d" ] || mkdir -m 700 "$d" || [ -e "$d" ] || exit 93
ours "$d" || { echo "$d is not a folder of ours alone" >&2; exit 90; }
"""
_RUN = f"""{ENTER}f=$d/$1; [ -e "$f" ] || ! ours "$m" || f=$m/$1; p=$2; shift 2
if [ -L "$f" ] || ! [ -f "$f" ] || ! [ -O "$f" ]; then exit 91; fi
p=$(command -v -- "$p") || exit 92
n=$#; while [ "$n" -gt 0 ]; do a=$1; shift; n=$((n-1))
case $a in @*) a=$d${{a#@}};; esac; set -- "$@" "$a"; done
{RUN_BY}"""
_SEND = f"""{ENTER}t=$d/$1.$$
mkdir -p "${{t%/*}}" && cat > "$t" && chmod "$2" "$t" && mv -f "$t" "$d/$1" \\
|| {{ rm -f "$t"; exit 1; }}
"""
_SEND_TO_MEMORY = f"""{ENTER}[ -e "$m" ] || mkdir -m 700 "$m"
ours "$m" && cat > "$m/$1.$$" && mv -f "$m/$1.$$" "$m/$1" || {{ rm -f "$m/$1.$$"; exit 1; }}
"""


class ShellTransport(Transport):
    """Agents of one run, in /tmp/dsr1-UID/RUN/HOST of every host, run by `python`, the runtime's
    own there."""

    def __init__(
        self, shells: Mapping[str, Shell], run: str, python: str, run_id: str = ""
    ) -> None:
        self._shells = dict(shells)
        self._run_name, self._python, self._run_id = run, python, run_id

    def upload(self, host: str, file: Path, name: str) -> None:
        """Send a file once: its name, or its folder's, says its content: one that is there is whole
        and the same."""
        if not self._has(host, name):
            self._send(host, file.read_bytes(), name, "700")

    def _has(self, host: str, name: str) -> bool:
        test = ("sh", "-c", f'{ENTER}[ -O "$d/$1" ] || {{ ours "$m" && [ -O "$m/$1" ]; }}')
        return self._shells[host].run((*test, "dsr1", name), TEST_S).code == 0

    def _open(self, host: str, *arguments: str) -> CommandChannel:
        """The agent is sent first where it isn't any more: a cleaner may have been there."""
        if not self._has(host, bundle_name()):
            self._send_agent(host)
        return self._shells[host].open(self._argv(arguments))

    def run_verb(self, host: str, verb: AgentVerb) -> CommandResult:
        """The agent is sent first where it isn't yet."""
        values = self._address(host) if verb.values is None else verb.values
        values = (*values, *verb.more)
        argv = self._argv((verb.name, *values), verb.by)
        result = self._shells[host].run(argv, verb.timeout_s, verb.stdin, verb.most)
        if result.code == ABSENT:
            self._send_agent(host)
            result = self._shells[host].run(argv, verb.timeout_s, verb.stdin, verb.most)
        if problem := self._problem(result):
            raise HostError(f"{host}: {problem}")
        return result

    def _problem(self, result: CommandResult) -> str:
        """Why the agent could not even begin, with a remedy."""
        problems = {
            NO_PYTHON: f"{self._python} is not there; name the runtime's Python in the recipe's"
            " runtime",
            SHUT: f"{result.last_lines}; dsr1 keeps its folder in /tmp: free some space there",
            FOREIGN: f"{result.last_lines}; have it removed: another user may have made it",
        }
        return problems.get(result.code, "")

    def attach(self, host: str, since: int) -> StreamLink:
        return StreamLink(self._open(host, "attach", *self._address(host), str(since)), host)

    def logs(self, host: str, follow: Callable[[], bool]) -> Iterator[tuple[str, str]]:
        """The agent's `logs` goes on for as long as its stdin is open."""
        channel = self._open(host, "logs", *self._address(host))
        channel.settimeout(LOG_WAIT_S)
        with contextlib.closing(channel):
            try:
                for line in split_lines(_blocks(channel, follow)):
                    process, text = parse_json(tuple[str, str], line)
                    yield process, text
            except OSError as error:
                raise HostError(f"{host}: the rest of its logs can't be read: {error}") from error
            except ValueError as error:
                raise BadAnswer(host, f"the rest of its logs can't be read: {error}") from error

    @contextlib.contextmanager
    def open_job(self, host: str, job: str) -> Iterator[JobStream]:
        """The agent is sent first, by the introduction."""
        self.introduce(host, "")
        channel = self._shells[host].open(self._argv(("job", job)))
        channel.settimeout(SILENT_S)
        with contextlib.closing(channel):
            yield JobStream(channel.sendall, iter(partial(channel.recv, STREAM_BLOCK), b""))

    def close(self) -> None:
        for shell in self._shells.values():
            shell.drop()

    def _address(self, host: str) -> tuple[str, ...]:
        return (f"@/{self._run_name}/{host}", self._run_id, host)

    def _argv(self, arguments: Sequence[str], by: str = AS_SELF) -> tuple[str, ...]:
        how = run_by(by, render_bundle)
        return ("sh", "-c", _RUN, "dsr1", bundle_name(), self._python, *how, *arguments)

    def _send_agent(self, host: str) -> None:
        name, bundle = bundle_name(), render_bundle()
        try:
            self._send(host, bundle, name, "600")
        except HostError:
            argv = ("sh", "-c", _SEND_TO_MEMORY, "dsr1", name)
            if self._shells[host].run(argv, SEND_S, bundle).code != 0:
                raise

    def _send(self, host: str, data: bytes, name: str, mode: str) -> None:
        done = self._shells[host].run(("sh", "-c", _SEND, "dsr1", name, mode), SEND_S, data)
        if done.code != 0:
            raise HostError(f"{host}: can't be written to: {done.last_lines}")


class SshTransport(ShellTransport):
    """Through one SSH connection a host."""

    def __init__(self, hosts: Sequence[Access], run: str, python: str, run_id: str = "") -> None:
        shells = {access.name: SshHost(access) for access in hosts}
        super().__init__(shells, run, python, run_id)

    def reach(self, accesses: Sequence[Access]) -> None:
        new = {one.name: SshHost(one) for one in accesses if one.name not in self._shells}
        self._shells = {**self._shells, **new}


def _blocks(channel: CommandChannel, follow: Callable[[], bool]) -> Iterator[bytes]:
    """Once `follow` says no, the agent hears of it by the end of its stdin, and sends the rest."""
    following = True
    while True:
        if following and not follow():
            channel.shutdown_write()
            following = False
        try:
            data = channel.recv(STREAM_BLOCK)
        except TimeoutError:
            continue
        if not data:
            return
        yield data
