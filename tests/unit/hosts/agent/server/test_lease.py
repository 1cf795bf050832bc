"""An agent believes one supervisor at a time."""

from dataclasses import replace

from dsr1.hosts.agent.server.lease import BEATS, Lease
from dsr1.hosts.protocol.lease import ASK, Watcher, other_holder, take_lease

ANN, BOB = Watcher(1, 1.0, "boot", "ann"), Watcher(1, 1.0, "another boot", "bob")


def holder(lease: Lease) -> str:
    return lease.holder.words


def test_one_at_a_time_until_it_is_silent_or_gone() -> None:
    now = [0.0]
    lease = Lease(1.0, lambda: now[0])
    assert lease.answer(ASK, "line").is_ok is False
    assert lease.answer(take_lease(ANN), "ann's").is_ok
    now[0] = BEATS - 0.1
    assert lease.answer(take_lease(ANN), "ann's").is_ok
    assert other_holder(lease.answer(take_lease(BOB), "bob's")) == ANN
    assert lease.obeys("bob's")
    now[0] = 2 * BEATS
    assert (holder(lease), lease.answer(take_lease(BOB), "bob's").is_ok) == ("", True)
    assert (lease.obeys("ann's"), lease.obeys("bob's")) == (False, True)
    assert other_holder(lease.answer(take_lease(ANN), "ann's")) == BOB
    lease.close("bob's")
    assert holder(lease) == ""
    assert lease.answer(take_lease(ANN), "ann's").is_ok
    assert lease.obeys("ann's")


def test_an_answer_has_its_questions_number() -> None:
    """Else whoever waits for it waits in vain."""
    lease = Lease(1.0)
    for number, watcher in enumerate((ANN, ANN, BOB), 7):
        assert lease.answer(replace(take_lease(watcher), number=number), "line").number == number
    assert lease.answer(replace(ASK, number=5), "line").number == 5


def test_nonsense_is_nobody() -> None:
    lease = Lease(1.0)
    assert not lease.answer(replace(ASK, path="{}"), "line").is_ok
    assert holder(lease) == ""
