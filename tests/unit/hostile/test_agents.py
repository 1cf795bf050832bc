"""A host's agent that says what makes no sense, or never stops: the supervisor hears that the host is
lost, and why."""

from collections.abc import Callable, Iterator
from itertools import count, repeat
from queue import SimpleQueue

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.hostile.test_answers import BOUNDED, Answering, Blocks
from tests.unit.hostile.values import one_part_changed
from tests.waiting import HANGS_S

from dsr1.hosts.protocol.codec import NumberedEvent, parse_event, render_event
from dsr1.hosts.protocol.events import Event, Progress
from dsr1.hosts.transport.base import AgentLink
from dsr1.hosts.transport.link import StreamLink
from dsr1.launcher.run.agents import AgentEvent, AgentLost, Agents
from dsr1.launcher.run.ranks import Moment, RankRow, advance
from dsr1.launcher.run.supervision.inbox import Inbox
from dsr1.launcher.run.supervision.messages import notes_of
from dsr1.launcher.run.supervision.verdict import end_of, waits_s

ROW = RankRow("main", 0, "h", "p", "starting", 0.0)


class Saying(Answering):
    """A host whose agent says such events."""

    def __init__(self, make_link: Callable[[], AgentLink]) -> None:
        super().__init__(b"")
        self._make = make_link

    def attach(self, host: str, since: int) -> AgentLink:  # type: ignore[override]
        return self._make()


def lost(make_link: Callable[[], AgentLink]) -> AgentLost:
    """What the supervisor hears in the end; all before it are events."""
    queue: SimpleQueue[object] = SimpleQueue()
    agents = Agents(Saying(make_link), queue, lost_after_s=600)
    agents.attach(("h",))
    while isinstance(heard := queue.get(timeout=HANGS_S), AgentEvent):
        pass
    assert isinstance(heard, AgentLost)
    return heard


def test_nonsense_is_a_loss_at_once() -> None:
    why = lost(lambda: StreamLink(Blocks(b'{"seq": 1e999}\n'), "h")).why
    assert why.startswith("h: that host's answer makes no sense: its agent sent an unknown event")


def test_events_without_end_are_a_loss() -> None:
    class Flooding(StreamLink):
        def events(self) -> Iterator[NumberedEvent]:
            return (NumberedEvent(seq, 0.0, "h", Progress("p", "loading")) for seq in count(1))

    assert "over 20000 events in 60 s" in lost(lambda: Flooding(Blocks(b""), "h")).why


def test_a_thread_that_reads_never_ends_without_a_word() -> None:
    class Failing(StreamLink):
        def events(self) -> Iterator[NumberedEvent]:
            raise RuntimeError("a fault of ours")
            yield from repeat(None)

    assert "a fault of ours" in lost(lambda: Failing(Blocks(b""), "h")).why


def test_a_phase_that_is_none_moves_no_rank() -> None:
    assert advance((ROW,), Progress("p", "conquering"), Moment(1.0, 1.0)) == (ROW,)


HEAD = {"seq": 1, "time": 1.0, "host": "h"}
FIELDS: dict[str, dict[str, object]] = {
    "Progress": {"process": "p", "phase": "loading", "rank": 0, "done": 1, "total": 2},
    "Exited": {"process": "p", "code": -9, "requested": False, "tail": ["x"]},
    "MemberDied": {"process": "p", "component": "c", "pid": 1, "code": 1},
    "Ending": {"on": "h", "ordered": True, "reason": "r"},
    "Restored": {"on": "h", "folder": "/f"},
    "DiskFull": {"on": "h", "folder": "/f", "free_bytes": 1},
    "AgentUp": {"pid": 1, "boot_id": "b"},
}


def _decide(event: Event) -> None:
    """All that a supervisor makes of an event."""
    inbox = Inbox()
    inbox.queue.put(AgentEvent("h", event))
    heard = inbox.take(0.0)
    end_of(heard)
    waits_s(heard)
    notes_of(heard)
    if isinstance(event, Progress):
        advance((ROW,), event, Moment(1.0, 1.0))


@pytest.mark.parametrize("name", FIELDS)
@given(data=st.data())
@BOUNDED
def test_an_event_of_which_a_part_was_changed(name: str, data: st.DataObject) -> None:
    import json

    try:
        numbered = parse_event(
            json.dumps(data.draw(one_part_changed(HEAD | {"event": name} | FIELDS[name])))
        )
    except ValueError:
        return
    assert parse_event(render_event(numbered)) == numbered
    _decide(numbered.event)
