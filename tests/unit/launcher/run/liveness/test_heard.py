"""What lives by an agent's events, and when nobody but the host can tell."""

from itertools import permutations

import pytest

from dsr1.hosts.protocol.events import (
    AgentUp,
    Alive,
    Ending,
    Event,
    Exited,
    Gone,
    Listening,
    MemberDied,
    Progress,
    Spawned,
)
from dsr1.launcher.run.liveness.heard import HeardProcesses

A, B = Spawned("a", 1, 0.0), Spawned("b", 2, 0.0)
A_ENDED, B_ENDED = Exited("a", 0, False, ()), Exited("b", -9, True, ())
NOT_STARTED = Exited("a", 127, False, (), "no such file")
SAY_NOTHING_OF_IT = (
    AgentUp(1, "boot"),
    Alive(),
    Listening("a"),
    Progress("a", "loading"),
    MemberDied("a", "EngineCore", 7, 1),
    Ending("h", True, "asked to stop"),
)


@pytest.mark.parametrize(
    ("events", "living"),
    [
        ((), ()),
        ((A,), ("a",)),
        ((B, A), ("b", "a")),
        ((A, A_ENDED), None),
        ((A, B, A_ENDED), None),
        ((A, A_ENDED, Gone(("a",))), ()),
        ((A, B, A_ENDED, Gone(("a",))), ("b",)),
        ((A, B, A_ENDED, Gone(("b",))), None),
        ((A, Gone(("a",))), ()),
        ((A, A_ENDED, Gone(("a",), ("a pid 1 state D",))), None),
        ((A, A_ENDED, Gone(("a",), ("a pid 1 state D",)), A), None),
        ((A, A_ENDED, A), ("a",)),
        ((A, A_ENDED, Gone(("a",)), A), ("a",)),
        ((NOT_STARTED,), ()),
        ((NOT_STARTED, A), ("a",)),
        ((A_ENDED,), ()),
        ((A, *SAY_NOTHING_OF_IT, B), ("a", "b")),
    ],
)
def test_what_lives(events: tuple[Event, ...], living: tuple[str, ...] | None) -> None:
    heard = HeardProcesses()
    for event in events:
        heard.hear(event)
    assert heard.living == living


def test_from_where_it_was_seen() -> None:
    heard = HeardProcesses(("a", "b"))
    assert heard.living == ("a", "b")
    heard.hear(B_ENDED)
    assert heard.living is None
    heard.hear(Gone(("b",)))
    assert heard.living == ("a",)


def test_nothing_is_told_between_an_end_and_its_proof() -> None:
    """Whatever else is heard meanwhile of another process."""
    others: tuple[Event, ...] = (B, B_ENDED, Gone(("b",)))
    for order in permutations(others):
        heard = HeardProcesses(("a",))
        for event in (A_ENDED, *order):
            heard.hear(event)
        assert heard.living is None
