"""What a launch refuses of the files that its frontends would show to clients."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.fakes.pki import Pair, make_key_file, make_pair

from dsr1.hosts.errors import InputError
from dsr1.launcher.recipe.parts import Frontend, ServerTls
from dsr1.launcher.smoke.frontend_files import read_frontend_files


def read_pair(pair: Pair) -> dict[str, str]:
    tls = ServerTls(cert=str(pair.cert), key=str(pair.key))
    return read_frontend_files(Frontend(tls=tls))


def test_what_is_read(tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    pair.cert.write_text(pair.key.read_text() + pair.cert.read_text())  # a key beside it stays here
    pair.cert.chmod(0o600)
    found = read_pair(pair) | read_frontend_files(
        Frontend(api_key_file=str(make_key_file(tmp_path)))
    )
    assert found["api-key"] == "sesame-0123456789abcdef"
    assert found["frontend.pem"].startswith("-----BEGIN CERTIFICATE")
    assert "PRIVATE" not in found["frontend.pem"]
    assert found["frontend.key"] == pair.key.read_text()


Spoil = Callable[[Path, Pair], object]
PAIRS: dict[str, tuple[Spoil, str]] = {
    "missing": (lambda _, pair: pair.cert.unlink(), "tls.cert: .* No such file"),
    "a key that others read": (lambda _, pair: pair.key.chmod(0o644), "tls.key: .* mode 0644"),
    "a key that a group writes": (lambda _, pair: pair.key.chmod(0o660), "mode 0660"),
    "of another pair": (
        lambda folder, pair: _another_key(folder, pair),
        "tls.key: .* is not the key of",
    ),
    "no certificate": (lambda _, pair: pair.cert.write_text("hello"), "holds no certificate"),
    "no key": (lambda _, pair: pair.key.write_text("hello"), "holds no private key"),
    "binary": (lambda _, pair: pair.key.write_bytes(b"\xff\0"), "plain ASCII"),
    "huge": (lambda _, pair: os.truncate(pair.cert, 1 << 30), "larger than 1024 KiB"),
    "a pipe": (lambda _, pair: _pipe(pair.key), "no regular file"),
    "a folder": (lambda folder, pair: _folder(pair.cert), "no regular file|Is a directory"),
    "expired": (lambda folder, _: make_pair(folder, (-3, -1)), "tls.cert: .* is valid from"),
    "not yet": (lambda folder, _: make_pair(folder, (1, 2)), "is valid from"),
    "for clients": (
        lambda folder, _: make_pair(folder, uses=[ExtendedKeyUsageOID.CLIENT_AUTH]),
        "not for servers",
    ),
    "a passphrase": (lambda folder, _: make_pair(folder, passphrase=b"x"), "has a passphrase"),
}


def _another_key(folder: Path, pair: Pair) -> None:
    (folder / "other").mkdir()
    pair.key.write_text(make_pair(folder / "other").key.read_text())


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("what", PAIRS)
def test_a_pair_that_can_not_serve_is_refused(tmp_path: Path, what: str) -> None:
    pair = make_pair(tmp_path)
    spoil, wanted = PAIRS[what]
    spoil(tmp_path, pair)
    with pytest.raises(InputError, match=wanted):
        read_pair(pair)


@pytest.mark.parametrize(
    ("text", "mode", "wanted"),
    [
        ("", 0o600, "must hold one key"),
        ("short\n", 0o600, "must hold one key"),
        ("a" * 20 + "\n" + "b" * 20, 0o600, "must hold one key"),
        ("Bearer " + "a" * 20, 0o600, "must hold one key"),
        ("a" * 20 + "\r\nX-Evil: 1", 0o600, "must hold one key"),
        ("a" * 20, 0o604, "mode 0604"),
        ("a" * 20, 0o620, "mode 0620"),
    ],
)
def test_a_key_that_no_header_can_hold_or_that_others_know_is_refused(
    tmp_path: Path, text: str, mode: int, wanted: str
) -> None:
    file = make_key_file(tmp_path, text)
    file.chmod(mode)
    with pytest.raises(InputError, match=wanted) as refused:
        read_frontend_files(Frontend(api_key_file=str(file)))
    assert "aaaa" not in str(refused.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user, as root can")
def test_a_key_of_another_user_is_refused(tmp_path: Path) -> None:
    file = make_key_file(tmp_path)
    os.chown(file, 12345, -1)
    with pytest.raises(InputError, match="belongs to another user"):
        read_frontend_files(Frontend(api_key_file=str(file)))
