"""A bounded part of the fuzz: hypothesis chooses, and shrinks what fails. `make fuzz` has the rest."""

import re._constants as opcodes  # type: ignore[import-not-found]
import re._parser as regex_parser  # type: ignore[import-not-found]
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.readers import READERS, FuzzedReader, read_one

from dsr1.launcher.commands.phases import DYNAMO_PHASES, MOCKER_PHASES
from dsr1.launcher.triage.rules import load_rules

BOUNDED = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("reader", READERS, ids=[reader.name for reader in READERS])
def test_every_input_is_read_or_refused(reader: FuzzedReader) -> None:
    @BOUNDED
    @given(st.randoms(use_true_random=False))
    def judge(chance: Random) -> None:
        read_one(reader, reader.make(chance))

    judge()


def _repeats(part: Any) -> Iterator[int]:
    """The most times of every repeat in a parsed pattern."""
    if isinstance(part, tuple) and part[0] in (opcodes.MAX_REPEAT, opcodes.MIN_REPEAT):
        yield int(part[1][1])
    if isinstance(part, tuple | list | regex_parser.SubPattern):
        for inner in part:
            yield from _repeats(inner)


OF_LOGS = [
    *(rule.regex for rule in load_rules() if rule.regex),
    *(rule.pattern for rule in (*DYNAMO_PHASES, *MOCKER_PHASES)),
]


@pytest.mark.parametrize("pattern", OF_LOGS)
def test_no_line_of_a_log_takes_long(pattern: str) -> None:
    """An agent looks through logs in the thread that ends its processes."""
    assert all(most < 1000 for most in _repeats(regex_parser.parse(pattern)))
