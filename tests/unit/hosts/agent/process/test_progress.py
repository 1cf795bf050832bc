"""The progress reader: chunks, ranks, counters, and that nothing goes backwards."""

import pytest

from dsr1.hosts.agent.process.progress import LINE_LIMIT, ProgressReader, ProgressStep
from dsr1.hosts.protocol.process import PhaseRule

RANK = r"(?:\(Core_DP(?P<rank>\d+)\).*?)?"
RULES = (
    PhaseRule("first", RANK + r"\S"),
    PhaseRule("second", RANK + r"load"),
    PhaseRule("second", RANK + r"bar (?P<done>\d+)/(?P<total>\d+)"),
    PhaseRule("third", RANK + r"done"),
)
LOG = (
    "\x1b[32mhé\x1b[0m\n(Core_DP1) load\nbar █ \rbar 1/3\rbar 1/3\rbar 3/3\n(Core_DP1)"
    " done\r\nload\nbar 2/3\ndone\n"
).encode()
STEPS = [
    ProgressStep("first", None, None, None),
    ProgressStep("second", 1, None, None),
    ProgressStep("second", None, 1, 3),
    ProgressStep("second", None, 3, 3),
    ProgressStep("third", 1, None, None),
    ProgressStep("third", None, None, None),
]


def read(*chunks: bytes) -> list[ProgressStep]:
    reader = ProgressReader(RULES)
    return [step for chunk in chunks for step in reader.feed(chunk)]


def test_steps_of_a_log() -> None:
    assert read(LOG) == STEPS


@pytest.mark.parametrize("at", range(len(LOG)))
def test_a_split_anywhere_changes_nothing(at: int) -> None:
    assert read(LOG[:at], LOG[at:]) == STEPS


def test_byte_by_byte() -> None:
    assert read(*(bytes([byte]) for byte in LOG)) == STEPS


def test_a_partial_line_waits_for_its_end() -> None:
    reader = ProgressReader(RULES)
    assert reader.feed(b"bar 1/1") == []
    assert reader.feed(b"0\n") == [ProgressStep("second", None, 1, 10)]


def test_ranks_advance_apart() -> None:
    assert read(
        b"(Core_DP0) load\n(Core_DP1) load\n(Core_DP0) load\n(Core_DP0) done\n(Core_DP0) load\n"
    ) == [
        ProgressStep("second", 0, None, None),
        ProgressStep("second", 1, None, None),
        ProgressStep("third", 0, None, None),
    ]


def test_a_line_of_all_ranks_advances_every_rank() -> None:
    assert read(b"done\n(Core_DP1) load\n(Core_DP1) done\n") == [
        ProgressStep("third", None, None, None)
    ]


def test_a_line_of_all_ranks_does_not_take_the_foremost_back() -> None:
    assert read(b"(Core_DP1) done\nbar 1/2\n") == [ProgressStep("third", 1, None, None)]


def test_a_second_bar_of_the_same_phase_is_told() -> None:
    assert read(b"bar 2/2\nbar 0/4\n") == [
        ProgressStep("second", None, 2, 2),
        ProgressStep("second", None, 0, 4),
    ]


def test_a_line_without_a_counter_does_not_wipe_it() -> None:
    assert read(b"bar 2/2\nload\nbar 2/2\n") == [ProgressStep("second", None, 2, 2)]


def test_colour_inside_a_word() -> None:
    assert read(b"lo\x1b[1;31mad\n") == [ProgressStep("second", None, None, None)]


@pytest.mark.parametrize("size", [1000, LINE_LIMIT, 10**6])
def test_an_endless_line_is_bounded_and_its_end_not_read(size: int) -> None:
    long = b"x" * (LINE_LIMIT + 1) + b" done"
    chunks = [long[at : at + size] for at in range(0, len(long), size)]
    assert read(*chunks, b"\nload\n") == [
        ProgressStep("first", None, None, None),
        ProgressStep("second", None, None, None),
    ]


def test_no_rules_no_steps() -> None:
    assert ProgressReader(()).feed(LOG) == []
