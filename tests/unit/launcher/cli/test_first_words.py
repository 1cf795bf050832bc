"""A person at a terminal hears of a slow verb at once, and nobody else does."""

import io

import pytest

from dsr1.launcher.cli.views.first_words import first_words, say_first


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("launch dsr1-dep --hosts a", True),
        ("--debug launch", True),
        ("check", True),
        ("launch --help", False),
        ("status launch", False),
        ("", False),
    ],
)
def test_who_is_slow_says_so(line: str, said: bool) -> None:
    assert bool(first_words(line.split())) is said


def test_only_a_terminal_that_can_take_it_back_is_told() -> None:
    for stream, env, told in (
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (Terminal(), {}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ):
        assert say_first(["launch"], stream, env) is told
        assert bool(stream.getvalue()) is told
