"""A person at a terminal hears of a slow verb at once, and nobody else does."""

import io

import pytest

from dsr1.launcher.cli.views.first_words import say_first, slow_verb


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("line", "verb"),
    [
        ("launch dsr1-dep --hosts a", "launch"),
        ("--debug launch", "launch"),
        ("check launch", "check"),
        ("launch --help", ""),
        ("status launch", ""),
        ("", ""),
    ],
)
def test_who_is_slow_says_so(line: str, verb: str) -> None:
    assert slow_verb(line.split()) == verb


def test_only_a_terminal_that_can_take_it_back_is_told() -> None:
    for stream, env, told in (
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (Terminal(), {}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ):
        assert bool(say_first(["launch"], stream, env)) is told
        assert bool(stream.getvalue()) is told
