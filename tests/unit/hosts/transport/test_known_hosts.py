"""known_hosts as ssh reads it, judged by ssh-keygen and by a server that shows other keys."""

import base64
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest
from tests.unit.hosts.transport.test_connection import Server

from dsr1.hosts.errors import HostError
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.transport.connection import SshHost
from dsr1.hosts.transport.host_keys import is_certified, preferred_kinds
from dsr1.hosts.transport.known_hosts import (
    HostName,
    KeyVerdict,
    authorities_of,
    hash_host,
    judge_key,
    parse_known_hosts,
    remember_key,
)

NODE, OTHER_PORT = HostName("node1", 22), HostName("Node1", 2222)
KIND = "ssh-ed25519"
KNOWN, NEW = KeyVerdict(known=True), KeyVerdict(new=True)


@pytest.mark.parametrize(
    ("text", "name", "verdict"),
    [
        (f"node1 {KIND} AAAA", NODE, KNOWN),
        (f"NODE1,10.0.0.1 {KIND} AAAA comment", NODE, KNOWN),
        (f"\n# node1 {KIND} AAAA\n node1\tssh-ed25519\tAAAA", NODE, KNOWN),
        (f"node* {KIND} AAAA", NODE, KNOWN),
        (f"nod?1 {KIND} AAAA", NODE, KNOWN),
        (f"node*,!node1 {KIND} AAAA", NODE, NEW),
        (f"!node1,node* {KIND} AAAA", NODE, NEW),
        (f"!node2,node* {KIND} AAAA", NODE, KNOWN),
        (f"!node2 {KIND} AAAA", NODE, NEW),
        (f"[node1]:2222 {KIND} AAAA", OTHER_PORT, KNOWN),
        (f"[node1]:2222 {KIND} AAAA", NODE, NEW),
        (f"[*]:2222 {KIND} AAAA", OTHER_PORT, KNOWN),
        (f"node1 {KIND} AAAA", OTHER_PORT, KNOWN),
        (f"node1 {KIND} BBBB", OTHER_PORT, NEW),
        (f"HASH(node1) {KIND} AAAA", NODE, KNOWN),
        (f"HASH(node2) {KIND} AAAA", NODE, NEW),
        (f"HASH([node1]:2222) {KIND} AAAA", OTHER_PORT, KNOWN),
        (f"|1|x|y {KIND} AAAA", NODE, NEW),
        (f"|2|x|y {KIND} AAAA", NODE, NEW),
        (f"node1 {KIND} BBBB\nnode1 {KIND} AAAA", NODE, KNOWN),
        (f"@cert-authority node1 {KIND} AAAA", NODE, NEW),
        (f"@unheard-of node1 {KIND} AAAA", NODE, NEW),
        (f"*.node1 {KIND} AAAA", NODE, NEW),
        ("node1", NODE, NEW),
        (f"alias {KIND} AAAA", HostName("node1", 2222, "Alias"), KNOWN),
        (f"{'*a' * 40}*b {KIND} AAAA", HostName("a" * 60, 22), NEW),
    ],
)
def test_lines(text: str, name: HostName, verdict: KeyVerdict) -> None:
    """A hash has a random salt, so it is made here."""
    hashed = re.sub(r"HASH\(([^)]*)\)", lambda found: hash_host(found[1]), text)
    assert judge_key([*parse_known_hosts(hashed)], name, KIND, "AAAA") == verdict


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"node1 {KIND} BBBB", "its host key has changed: another ssh-ed25519 key is known"),
        ("node1 ssh-rsa BBBB", "its host key has changed: another ssh-rsa key is known"),
        (f"@revoked * {KIND} AAAA\nnode1 {KIND} AAAA", "its key is revoked (@revoked)"),
    ],
)
def test_what_is_refused_though_new_keys_are_taken(text: str, why: str) -> None:
    assert judge_key([*parse_known_hosts(text)], NODE, KIND, "AAAA").why == why


def test_what_is_known_is_asked_for_first() -> None:
    offered = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256")
    keys = [*parse_known_hosts("node1 ssh-rsa AAAA")]
    assert preferred_kinds(keys, NODE, offered)[:3] == ("rsa-sha2-512", "rsa-sha2-256", KIND)
    keys = [*parse_known_hosts("@cert-authority * ssh-rsa AAAA")]
    assert preferred_kinds(keys, NODE, offered)[0] == "ssh-ed25519-cert-v01@openssh.com"


def test_ssh_keygen_finds_what_was_kept(tmp_path: Path) -> None:
    file = tmp_path / ".ssh" / "known_hosts"
    file.parent.mkdir()
    file.write_text(f"torn {KIND} AAAA")
    key = subprocess_key(tmp_path / "key")
    for hashed, name in ((False, NODE), (True, OTHER_PORT)):
        remember_key(file, name, *key, hashed)
        found = subprocess.run(
            ("ssh-keygen", "-F", name.written, "-f", file), capture_output=True, check=True
        )
        assert key[1].encode() in found.stdout
    assert len(file.read_text().splitlines()) == 3


def subprocess_key(file: Path) -> tuple[str, str]:
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file), check=True)
    kind, key, *_ = file.with_suffix(".pub").read_text().split()
    return kind, key


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("-h", "-n", "node1,n2"), True),
        (("-h", "-n", "node2"), False),
        (("-h",), False),  # for any host there is
        (("-n", "node1"), False),  # a user's
        (("-h", "-n", "node1", "-V", "20200101:20210101"), False),
    ],
)
def test_certificates(tmp_path: Path, options: tuple[str, ...], wanted: bool) -> None:
    _, authority = subprocess_key(tmp_path / "ca")
    subprocess_key(tmp_path / "host")
    subprocess.run(
        ("ssh-keygen", "-q", "-s", tmp_path / "ca", "-I", "x", *options, tmp_path / "host.pub"),
        check=True,
    )
    blob = base64.b64decode((tmp_path / "host-cert.pub").read_text().split()[1])
    assert is_certified(blob, [authority], NODE) is wanted
    assert not is_certified(blob, ["AAAA"], NODE)
    assert not is_certified(blob[:-1] + b"x", [authority], NODE)
    revoked = f"@cert-authority * {KIND} {authority}\n@revoked * {KIND} {authority}"
    assert authorities_of([*parse_known_hosts(revoked)], NODE) == []


@pytest.fixture
def doors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[int, list[paramiko.PKey]]]:
    """A port, and the keys that its server shows, of which a test may put others."""
    monkeypatch.setenv("HOME", str(tmp_path))
    keys: list[paramiko.PKey] = [paramiko.ECDSAKey.generate()]
    paramiko.ECDSAKey.generate().write_private_key_file(str(tmp_path / "key"))
    with socket.create_server(("127.0.0.1", 0)) as door:

        def accept() -> None:
            while True:
                try:
                    transport = paramiko.Transport(door.accept()[0])
                except OSError:
                    return
                for key in keys:
                    transport.add_server_key(key)
                transport.start_server(server=Server(threading.Event()))

        threading.Thread(target=accept, daemon=True).start()
        yield door.getsockname()[1], keys


def _says(port: int, accept_new: bool, home: Path) -> bytes:
    remote = SshHost(
        Access("n", "127.0.0.1", "me", port, str(home / "key"), accept_new_key=accept_new)
    )
    try:
        return remote.run(("true",), 20.0).out
    finally:
        remote.drop()


def test_a_new_key_is_kept_and_no_other_taken_after_it(
    tmp_path: Path, doors: tuple[int, list[paramiko.PKey]]
) -> None:
    port, keys = doors
    with pytest.raises(HostError, match="not found in known_hosts"):
        _says(port, False, tmp_path)
    assert _says(port, True, tmp_path) == b"done"
    known = tmp_path / ".ssh" / "known_hosts"
    find = ("ssh-keygen", "-F", f"[127.0.0.1]:{port}", "-f", known)
    found = subprocess.run(find, stdout=subprocess.PIPE, check=True).stdout
    assert keys[0].get_base64().encode() in found
    assert known.stat().st_mode & 0o077 == 0
    assert _says(port, False, tmp_path) == b"done"
    for other in (paramiko.ECDSAKey.generate(), paramiko.RSAKey.generate(2048)):
        keys[:] = [other]
        with pytest.raises(HostError, match="n: can't be reached: its host key has changed"):
            _says(port, True, tmp_path)
    assert len(known.read_text().splitlines()) == 1


def test_where_it_cannot_be_kept_it_is_not_taken(
    tmp_path: Path, doors: tuple[int, list[paramiko.PKey]]
) -> None:
    (tmp_path / ".ssh").write_text("a file")
    with pytest.raises(HostError, match=r"its new key can't be kept in .*/\.ssh/known_hosts"):
        _says(doors[0], True, tmp_path)
