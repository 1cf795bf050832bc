"""Who watches a run: its supervisor tells each agent again and again, and an agent believes one at
a time, until that one is silent for too long, or its connection is closed.

It is told as an HttpGet of a process that is in no plan, which an older agent answers, too.
"""

import json
from dataclasses import asdict, replace
from typing import TypeGuard

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.bounded import NONSENSE
from dsr1.hosts.protocol.events import Event
from dsr1.hosts.protocol.http import HttpGet, HttpGot
from dsr1.hosts.protocol.plain import parse_json

SUPERVISOR = "supervisor"
TAKEN, HELD = 200, 409
NUMBER = -1  # of a beat and its answer, for which nobody waits


@dataclass(frozen=True, slots=True)
class Watcher:
    """A supervisor: `pid`, `started` and `boot` say which process it is, `words` who it is to
    people."""

    pid: int
    started: float
    boot: str
    words: str


NOBODY = Watcher(0, 0.0, "", "")
ASK = HttpGet(SUPERVISOR, 0, "", number=NUMBER)
"""Who watches, if anybody does."""


def take_lease(watcher: Watcher) -> HttpGet:
    return replace(ASK, path=json.dumps(asdict(watcher)))


def parse_watcher(text: str) -> Watcher | None:
    """None: it is none."""
    try:
        return parse_json(Watcher, text)
    except NONSENSE:
        return None


def render_holder(asked: HttpGet, holder: Watcher, taken: bool) -> HttpGot:
    return HttpGot(asked.number, TAKEN if taken else HELD, json.dumps(asdict(holder)))


def answers_beat(event: Event) -> TypeGuard[HttpGot]:
    return isinstance(event, HttpGot) and event.number == NUMBER


def other_holder(got: HttpGot) -> Watcher | None:
    """Who has the lease, where the agent refused it."""
    return parse_watcher(got.body) if got.status == HELD else None
