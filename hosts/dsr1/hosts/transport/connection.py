"""One host over SSH: a connection that is opened once and reused, and commands on it that always
end."""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dsr1.hosts.errors import HostError, InputError
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.protocol.facts.fact import reason_of
from dsr1.hosts.transport.base import MOST_ANSWER, CommandResult
from dsr1.hosts.transport.host_keys import guard_of
from dsr1.hosts.transport.login_shell import Beginning, after_begin, never_began, render_line
from dsr1.hosts.transport.monotonic import keep_monotonic_time
from dsr1.hosts.transport.output import BLOCK, Output, left_until

if TYPE_CHECKING:
    from fabric import Connection
    from paramiko import Channel

CONNECT_S, KEEPALIVE_S, UNACKED_MS = 10, 5, 12_000
logging.getLogger("paramiko").addHandler(
    logging.NullHandler()
)  # else its tracebacks go to stderr beside our errors


class SshHost:
    """A host's shell. Every method raises HostError, with the host's name and a remedy."""

    def __init__(self, access: Access) -> None:
        self.name = access.name
        self._access = access
        self._connection: Connection | None = None
        self._opening = threading.Lock()

    def run(
        self, argv: Sequence[str], timeout: float, given: bytes = b"", most: int = MOST_ANSWER
    ) -> CommandResult:
        """Run a command, once `given` has gone to its stdin, for so long. The two output streams
        stay apart."""
        with contextlib.closing(self._start(argv)) as channel:
            try:
                with _as_oserror():
                    result = _converse(channel, given, timeout, Output(self.name, most))
            except TimeoutError as error:
                self.drop()
                raise HostError(
                    f"{self.name}: no answer in {timeout:.0f} s ({str(error) or 'timed out'})"
                ) from error
            except OSError as error:
                raise self._lost(error) from error
        if (own := after_begin(result.out)) is None:
            raise HostError(f"{self.name}: {never_began(result.out + result.err)}")
        return replace(result, out=own)

    def open(self, argv: Sequence[str]) -> "SshChannel":
        """Start a command and return its channel, for talking to it."""
        return SshChannel(self._start(argv))

    def _start(self, argv: Sequence[str]) -> "Channel":
        transport = self._connected().transport
        assert transport is not None
        channel: Channel | None = None
        try:
            with _as_oserror():
                channel = transport.open_session(timeout=CONNECT_S)
                with _closed_after(channel, CONNECT_S):
                    channel.exec_command(render_line(argv))
                return channel
        except TimeoutError as error:
            raise self._lost(error) from error
        except OSError as error:
            if transport.is_active() and (channel or _is_refused(error)):
                raise HostError(f"{self.name}: {_not_begun(error)}") from error
            raise self._lost(error) from error

    def _lost(self, why: OSError) -> HostError:
        self.drop()
        return HostError(f"{self.name}: the SSH connection is lost ({why})")

    def drop(self) -> None:
        """Close the connection; the next command opens another."""
        connection, self._connection = self._connection, None
        for hop in hops(connection):
            with contextlib.suppress(
                Exception
            ):  # closing a broken connection has nothing left to report
                hop.close()

    def _connected(self) -> "Connection":
        with self._opening:
            if self._connection is None or not self._connection.is_connected:
                self._connection = self._connect()
            return self._connection

    def _connect(self) -> "Connection":
        from paramiko import ConfigParseError, SSHException

        try:
            connection = make_connection(self._access)
            connection.open()
        except ConfigParseError as error:
            raise InputError(f"~/.ssh/config or /etc/ssh/ssh_config: {error}") from error
        except (SSHException, OSError, EOFError, ValueError) as error:
            raise HostError(f"{self.name}: {_refusal(error)}") from error
        for hop in hops(connection):
            _bound(hop)
        return connection


class SshChannel:
    """paramiko's, whose loss is an OSError like any other connection's."""

    def __init__(self, channel: "Channel") -> None:
        self._channel, self._beginning = channel, Beginning()

    def settimeout(self, timeout: float | None, /) -> None:
        self._channel.settimeout(timeout)

    def sendall(self, data: bytes, /) -> None:
        with _as_oserror():
            self._channel.sendall(data)

    def recv(self, nbytes: int, /) -> bytes:
        with _as_oserror():
            return self._beginning.receive(lambda: bytes(self._channel.recv(nbytes)))

    def shutdown_write(self) -> None:
        with _as_oserror():
            self._channel.shutdown_write()

    def close(self) -> None:
        with contextlib.suppress(OSError), _as_oserror():
            self._channel.close()


@contextlib.contextmanager
def _as_oserror() -> Iterator[None]:
    from paramiko import SSHException

    try:
        yield
    except (EOFError, SSHException) as error:
        raise ConnectionError(str(error) or "closed by the other side") from error


def _is_refused(error: OSError) -> bool:
    """Whether sshd has said that it opens no session."""
    from paramiko import ChannelException

    return isinstance(error.__cause__, ChannelException)


def _not_begun(error: OSError) -> str:
    """On a connection that is good, and stays open for what else runs on it."""
    if _is_refused(error):
        return "sshd opens no further session: raise MaxSessions in its sshd_config (often 10)"
    return "sshd starts no command for this user: its limit of processes (ulimit -u)?"


def _refusal(error: Exception) -> str:
    """Why there is no connection, with a remedy."""
    from paramiko import AuthenticationException, PasswordRequiredException

    if isinstance(error, PasswordRequiredException):
        return "the key needs a passphrase; load it with ssh-add"
    if isinstance(error, AuthenticationException):
        remedy = "dsr1 types no password: put a key there (ssh-copy-id)"
        return f"refused our keys ({error}), and {remedy}"
    return f"can't be reached: {_why(error)}"


def _why(error: Exception) -> str:
    """paramiko's words for an unknown key, or for what is no SSH server, don't name a remedy."""
    if "not found in known_hosts" in str(error):
        return f"{error}. Log in once with ssh and check the key, or give --accept-new-keys"
    if "protocol banner" in str(error):
        return f"no SSH server answers there ({error}); check the port"
    tried: dict[tuple[str, int], OSError] = getattr(
        error, "errors", {}
    )  # of paramiko's NoValidConnectionsError
    if tried:
        return ", ".join(
            f"{address[0]} port {address[1]}: {why.strerror}" for address, why in tried.items()
        )
    if refusal := getattr(error, "text", ""):  # of paramiko's ChannelException
        return f"its jump host refuses: {refusal}"
    return reason_of(error)


def make_connection(access: Access) -> "Connection":
    """Not opened yet. Fabric reads ~/.ssh/config; a ProxyJump there is as good as the access's own
    jump."""
    from fabric import Connection

    keep_monotonic_time()
    connection = Connection(
        access.target,
        user=access.user,
        port=access.port,
        gateway=Connection(access.jump) if access.jump else None,
        connect_kwargs={"key_filename": str(Path(access.key).expanduser())} if access.key else {},
    )
    for hop in hops(connection):
        _guard(hop, access.accept_new_key)
    return connection


def hops(connection: "Connection | None") -> "Iterator[Connection]":
    """The connection, and those that it goes through. A ProxyCommand of ~/.ssh/config is none, but
    its own business."""
    while connection is not None and not isinstance(connection, str):
        yield connection
        connection = connection.gateway


def _guard(connection: "Connection", accept_new_key: bool) -> None:
    """Fabric by itself would wait for minutes, and take unknown host keys, and changed ones,
    without a word."""
    limits = dict.fromkeys(("banner_timeout", "auth_timeout", "channel_timeout"), CONNECT_S)
    connection.connect_timeout = CONNECT_S
    connection.connect_kwargs.update(limits)
    guard = guard_of(connection, accept_new_key)
    connection.connect_kwargs["transport_factory"] = guard.make_transport
    connection.client.set_missing_host_key_policy(guard)


def _bound(connection: "Connection") -> None:
    """Without these a cut cable hangs for minutes: keepalive alone doesn't end what was sent and
    never acknowledged."""
    transport = connection.transport
    assert transport is not None
    transport.set_keepalive(KEEPALIVE_S)
    if isinstance(transport.sock, socket.socket):
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKED_MS)


@contextlib.contextmanager
def _closed_after(channel: "Channel", seconds: float) -> Iterator[None]:
    """For what would wait for ever on a silent server. TimeoutError."""
    from paramiko import SSHException

    late = threading.Event()

    def give_up() -> None:
        late.set()
        with contextlib.suppress(OSError, EOFError):  # the connection may be closed just then
            channel.close()

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    except SSHException as error:
        if late.is_set():
            raise TimeoutError(f"no answer in {seconds:.0f} s") from error
        raise
    finally:
        timer.cancel()


def _converse(channel: "Channel", given: bytes, timeout: float, output: Output) -> CommandResult:
    """stderr is read by another thread: a full window of one stream must not stop the other.

    What never falls silent ends in time, too, and so does what closes its output and goes on.
    """
    channel.settimeout(timeout)
    values = (channel.recv_stderr, output.add_errors)
    reader = threading.Thread(target=_drain, args=values, daemon=True)
    reader.start()
    if given:
        channel.sendall(given)
    channel.shutdown_write()
    until = time.monotonic() + timeout
    while data := channel.recv(BLOCK):
        output.add(data)
        channel.settimeout(left_until(until))
    if not channel.status_event.wait(left_until(until)):
        raise TimeoutError
    code = channel.recv_exit_status()
    reader.join(CONNECT_S)
    if code < 0 and not channel.get_transport().is_active():  # else it was ended by a signal
        raise EOFError
    return output.result(code)


def _drain(receive: Callable[[int], bytes], into: Callable[[bytes], None]) -> None:
    with contextlib.suppress(OSError, EOFError):
        while data := receive(BLOCK):
            into(data)
