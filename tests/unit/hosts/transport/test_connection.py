"""A host's door: what answers there without being SSH is told in a line, and what answers without
end is left."""

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest
from paramiko.common import AUTH_SUCCESSFUL, OPEN_FAILED_CONNECT_FAILED, OPEN_SUCCEEDED

from dsr1.hosts.errors import HostError
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.transport.connection import SshHost, hops, make_connection
from dsr1.hosts.transport.login_shell import BEGIN

ASK = """import sys
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.errors import HostError
from dsr1.hosts.transport.connection import SshHost
try:
    SshHost(Access("node1", "127.0.0.1", port=int(sys.argv[1]))).run(("true",), 5)
except HostError as error:
    print(error)
"""


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_what_is_no_ssh_is_told_in_a_line(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.sendall(said)

        threading.Thread(target=serve, daemon=True).start()
        command = (sys.executable, "-c", ASK, str(server.getsockname()[1]))
        told = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert told.stdout.startswith("node1: can't be reached: no SSH server answers there (")
    assert told.stderr == ""


class Server(paramiko.ServerInterface):
    """Takes any key, and two sessions. Of its commands none ends by itself, but `true`."""

    def __init__(self, over: threading.Event) -> None:
        self.sessions: list[paramiko.Channel] = []
        self._over = over

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        open_ones = [session for session in self.sessions if not session.closed]
        return OPEN_SUCCEEDED if len(open_ones) < 2 else OPEN_FAILED_CONNECT_FAILED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        if b"hang" in command:
            self._over.wait()
        if b"hang" in command or b"one-too-many" in command:
            return False
        self.sessions.append(channel)
        threading.Thread(target=serve, args=(channel, command), daemon=True).start()
        return True


def serve(channel: paramiko.Channel, command: bytes) -> None:
    channel.recv(1)  # until the client says no more: it then has heard that its command runs
    if b"babble" in command:
        with contextlib.suppress(OSError, EOFError):
            while True:
                channel.sendall(b"y" * 1000)
    elif b"go-on-in-silence" in command:
        channel.shutdown_write()
    elif b"exec cut" in command:
        channel.get_transport().close()
    else:
        channel.sendall(b"a word of .bashrc" + BEGIN + b"done")
        channel.send_exit_status(0)
        channel.close()


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SshHost]:
    monkeypatch.setenv("HOME", str(tmp_path))
    key = paramiko.ECDSAKey.generate()
    key.write_private_key_file(str(tmp_path / "key"))
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as door:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    transport = paramiko.Transport(door.accept()[0])
                    transport.add_server_key(key)
                    transport.start_server(server=Server(over))

        threading.Thread(target=accept, daemon=True).start()
        port = door.getsockname()[1]
        remote = SshHost(
            Access("n", "127.0.0.1", "me", port, str(tmp_path / "key"), accept_new_key=True)
        )
        yield remote
        remote.drop()
        over.set()


@pytest.mark.parametrize("command", ["babble", "go-on-in-silence"])
def test_what_never_ends_is_given_up(remote: SshHost, command: str) -> None:
    with pytest.raises(HostError, match="n: no answer in 1 s"):
        remote.run((command,), 1.0)
    assert remote.run(("true",), 10.0).out == b"done"


def test_a_cut_connection_is_no_answer(remote: SshHost) -> None:
    with pytest.raises(HostError, match="n: the SSH connection is lost"):
        remote.run(("cut",), 10.0)
    assert remote.run(("true",), 10.0).out == b"done"


def test_a_server_that_falls_silent_is_given_up(remote: SshHost) -> None:
    with pytest.raises(HostError, match=r"n: the SSH connection is lost .no answer in 10 s"):
        remote.run(("hang",), 10.0)


def test_a_refused_command_names_the_limit_and_leaves_the_rest_of_the_connection(
    remote: SshHost,
) -> None:
    with contextlib.closing(remote.open(("stays",))) as other:
        with pytest.raises(HostError, match=r"n: sshd starts no command .* limit of processes"):
            remote.run(("one-too-many",), 10.0)
        with (
            contextlib.closing(remote.open(("stays",))),
            pytest.raises(HostError, match="n: sshd opens no further session: raise MaxSessions"),
        ):
            remote.run(("true",), 10.0)
        other.shutdown_write()
        assert other.recv(100) == b"done"


def test_a_jump_of_the_ssh_configuration_is_guarded_as_one_of_the_inventory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host far\n  ProxyJump bastion\n")
    for access in (Access("far", "far"), Access("n", "n", jump="bastion")):
        chain = list(hops(make_connection(access)))
        assert [hop.host for hop in chain] == [access.target, "bastion"]
        assert not any(hop.client._policy.accept_new for hop in chain)
        assert all(hop.connect_timeout for hop in chain)
