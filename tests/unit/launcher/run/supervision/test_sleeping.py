"""Ranks are put to sleep and woken by what their servers answer."""

import json
import threading
from collections.abc import Sequence

import pytest

from dsr1.hosts.errors import HostError
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.http import CONTROLS, HttpGet, HttpGot
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.recipe.load import parse_recipe
from dsr1.launcher.run.supervision.changing.sleeping import sleep_engine, wake_engine

RECIPE = """
name: t
model: {path: /m}
engines:
  main: {nodes: 2, ranks_per_node: 1}
  other: {nodes: 1, ranks_per_node: 1}
"""
HOSTS = [Host(f"n{n}", f"10.0.0.{n}", "eth0", gpus=1) for n in range(3)]
PLAN = make_plan(parse_recipe(RECIPE, "t.yaml"), HOSTS, "t", "/t")
OK = HttpGot(0, 200, '{"status": "ok", "message": "Engine slept (level=1)"}')
RUNNING = 'vllm:num_requests_running{engine="%d"} %d\n'


class Workers:
    """`busy`: how often their metrics still show a request. `said`: what one answers otherwise."""

    def __init__(self, busy: int = 0, said: dict[str, HttpGot] | None = None) -> None:
        self.busy, self._said = busy, said or {}
        self.told: list[tuple[str, str]] = []

    def get(self, host: str, gets: Sequence[HttpGet]) -> tuple[HttpGot, ...]:
        return tuple(self._answer(get) for get in gets)

    def _answer(self, get: HttpGet) -> HttpGot:
        if get.path == "/metrics":
            self.busy -= 1
            running = int(self.busy >= 0)
            return HttpGot(0, 200, "".join(RUNNING % (rank, running) for rank in range(2)))
        if get.path not in CONTROLS:
            return HttpGot(0, 200, "{}")
        self.told.append((get.process, get.path))
        return self._said.get(get.process, OK)


def test_every_worker_of_it_is_told_once_it_has_nothing_to_do() -> None:
    workers = Workers(busy=3)
    assert sleep_engine(PLAN, "main", workers, 60.0, threading.Event()) == ""
    assert sorted(workers.told) == [("main-0", CONTROLS[0]), ("main-1", CONTROLS[0])]
    assert workers.busy < 0
    assert wake_engine(PLAN, "main", workers) == ""
    assert sorted(workers.told[2:]) == [("main-0", CONTROLS[1]), ("main-1", CONTROLS[1])]


def test_requests_have_their_time_and_no_more() -> None:
    workers = Workers(busy=10**6)
    assert sleep_engine(PLAN, "main", workers, 0.3, threading.Event()) == ""
    assert len(workers.told) == 2


def test_one_that_ends_meanwhile_is_told_nothing() -> None:
    workers, done = Workers(busy=10**6), threading.Event()
    done.set()
    assert sleep_engine(PLAN, "main", workers, 60.0, done) is None
    assert workers.told == []


@pytest.mark.parametrize(
    ("got", "words"),
    [
        (HttpGot(0, 404), "it knows no /engine/control/sleep"),
        (HttpGot(0, 200, '{"status": "error", "message": "no memory"}'), "no memory"),
        (HttpGot(0, 500, "broken"), "HTTP 500 broken"),
        (HttpGot(0, 0, problem="no answer within 600 s"), "no answer within 600 s"),
        (HttpGot(0, 200, "[]"), "it answers '[]'"),
        (HttpGot(0, 200, json.dumps({"status": "error", "message": None})), "error"),
    ],
)
def test_the_rank_that_can_not_is_named(got: HttpGot, words: str) -> None:
    workers = Workers(said={"main-1": got})
    said = sleep_engine(PLAN, "main", workers, 0.0, threading.Event())
    assert said == f"main-1: {words}"


class Cut:
    """Their host is gone."""

    def get(self, host: str, gets: Sequence[HttpGet]) -> tuple[HttpGot, ...]:
        raise HostError(f"{host}: the connection is lost")


def test_an_agent_that_can_not_be_asked() -> None:
    assert wake_engine(PLAN, "other", Cut()) == "other-0: n2: the connection is lost"
