"""A host for one that is lost or left: itself, or a spare, and what that changes of the plan."""

import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from queue import SimpleQueue

import pytest

from dsr1.hosts.errors import HostError
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.codec import render_gone
from dsr1.hosts.protocol.events import Gone
from dsr1.hosts.transport.base import AgentLink, AgentVerb, CommandResult, JobStream, Transport
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.plan.retry import plan_again
from dsr1.launcher.preflight.survey_result import Survey
from dsr1.launcher.recipe.load import parse_recipe
from dsr1.launcher.run.agents import Agents
from dsr1.launcher.run.prepare import make_run_secrets, make_settings
from dsr1.launcher.run.store import Run, new_run
from dsr1.launcher.run.supervision.messages import HostNotPlaced, HostPlaced
from dsr1.launcher.run.supervision.places import Places

RECIPE = parse_recipe(
    """
name: t
model: {path: /m}
stack: mocker
security: "off"
engines: {main: {nodes: 1, ranks_per_node: 1, replicas: 2}}
frontend: {port: 1024}
""",
    "t.yaml",
)
A, B, C = (Host(name, f"10.0.0.{number}", "eth0") for number, name in enumerate("abc", 1))


class Silent:
    """A connection on which nothing comes."""

    def send(self, command: object) -> None:
        pass

    def events(self) -> Iterator[object]:
        return iter(())

    def close(self) -> None:
        pass


class Hosts(Transport):
    """What each says of its end; one that isn't named can't be reached."""

    def __init__(self, **left: tuple[str, ...]) -> None:
        self.left, self.started = left, list[str]()

    def run_verb(self, host: str, verb: AgentVerb) -> CommandResult:
        if host not in self.left:
            raise HostError(f"{host}: no route to it")
        if verb.name == "stop":
            return CommandResult(0, render_gone(Gone((), self.left[host])), b"")
        if verb.name == "start":
            self.started.append(host)
        return CommandResult(0, json.dumps({"agent": "alive", "boot_id": "b"}).encode(), b"")

    def attach(self, host: str, since: int) -> AgentLink:
        return Silent()  # type: ignore[return-value]

    def logs(self, host: str, follow: Callable[[], bool]) -> Iterator[tuple[str, str]]:
        return iter(())

    def open_job(self, host: str, job: str) -> AbstractContextManager[JobStream]:
        raise NotImplementedError


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))
    run, survey = new_run("r1"), Survey((A, B), (C,), (), {})
    run.claim(RECIPE, "starting")
    first = make_plan(RECIPE, (A, B), run.name, str(run.folder), run_id=run.run_id())
    plan = plan_again(first, 1)
    run.fill(plan, make_settings(RECIPE, survey, ()), make_run_secrets(plan, survey, RECIPE))
    return run


def find(run: Run, hosts: Hosts, goes_down: bool) -> tuple[Places, HostPlaced | HostNotPlaced]:
    agents = Agents(hosts, SimpleQueue(), 1000.0)
    places = Places(run, run.plan(), run.settings(), agents, lambda: contextlib.nullcontext(hosts))
    return places, places.find("b", goes_down)


def test_a_host_that_can_be_asked_again_keeps_its_place(run: Run) -> None:
    hosts = Hosts(a=(), b=(), c=())
    places, found = find(run, hosts, goes_down=False)
    assert (found, hosts.started) == (HostPlaced("b", "b"), ["b"])
    assert places.plan == run.plan()


@pytest.mark.parametrize(("reached", "replaced"), [(True, ()), (False, ("b",))])
def test_a_spare_takes_the_place(run: Run, reached: bool, replaced: tuple[str, ...]) -> None:
    """In the namespace of those that serve. What was left clean needs no end later."""
    before = run.plan()
    hosts = Hosts(a=(), c=(), **({"b": ()} if reached else {}))
    places, found = find(run, hosts, goes_down=reached)
    assert isinstance(found, HostPlaced)
    assert (found.host, found.notes, hosts.started) == (
        "c",
        ("c has taken the place of b",),
        ["c"],
    )
    assert (places.settings.replaced, places.settings.spares) == (replaced, ())
    assert run.plan() == places.plan
    assert places.plan.service.namespace == before.service.namespace
    assert [one for one in places.plan.hosts if one.host == "a"] == [
        one for one in before.hosts if one.host == "a"
    ]
    assert {one.host for one in places.plan.ranks} == {"a", "c"}


def test_nothing_is_started_where_something_may_live_or_once_the_run_ends(run: Run) -> None:
    hosts = Hosts(a=(), b=("main-r1-0 pid 7",), c=())
    _, found = find(run, hosts, goes_down=True)
    assert isinstance(found, HostNotPlaced)
    assert "something may still run: main-r1-0" in found.why
    places, _ = find(run, Hosts(a=(), b=(), c=()), goes_down=False)
    places.close()
    assert places.find("b", False) == HostNotPlaced("b", "the run is being ended")
    assert hosts.started == []
