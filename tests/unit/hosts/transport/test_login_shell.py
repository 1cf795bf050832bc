"""A command comes whole through any login shell, and its output without what that one says."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from dsr1.hosts.transport.login_shell import BEGIN, Beginning, after_begin, render_line

WORDS = "it's $HOME `x` \\n %s ! é\n!! {a,b} * ~ #"


@pytest.mark.parametrize("shell", ["sh", "bash", "tcsh", "fish", "zsh", "dash", "ksh"])
def test_words_come_as_they_are(shell: str) -> None:
    if (path := shutil.which(shell)) is None:
        pytest.skip(f"no {shell} here")
    argv = (path, "-c", render_line(("printf", "%s", WORDS)))
    done = subprocess.run(argv, capture_output=True, timeout=60, check=True)
    assert after_begin(b"a banner" + done.stdout) == WORDS.encode()


def receiver(*pieces: bytes) -> "Iterator[bytes]":
    yield from pieces
    while True:
        yield b""


def test_a_stream_begins_where_its_command_does() -> None:
    came, beginning = receiver(b"wel", b"come\n" + BEGIN[:5], BEGIN[5:], b"own", b""), Beginning()
    assert [beginning.receive(lambda: next(came)) for _ in range(2)] == [b"own", b""]


def test_a_stream_that_never_begins_says_why() -> None:
    came = receiver(b"This account is not available.\n")
    with pytest.raises(ConnectionError, match=r"ends before .*: This account is not available\."):
        Beginning().receive(lambda: next(came))
