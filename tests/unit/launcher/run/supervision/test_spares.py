"""A spare is judged when it is to take a place, by what it is like then."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest
from tests.unit.env.hgx import make_facts

from dsr1.hosts.errors import HostError, LaunchFailed
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.facts.fact import Fact, FactValue, to_plain
from dsr1.hosts.transport.base import AgentLink, AgentVerb, CommandResult, JobStream, Transport
from dsr1.launcher.commands.dynamo_versions import RUNTIME
from dsr1.launcher.preflight.survey_result import Survey
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.run.prepare import make_settings
from dsr1.launcher.run.settings import RunSettings
from dsr1.launcher.run.supervision.spares import take_spares, update_facts

A, B, C, D = (Host(name, f"10.0.0.{number}", "eth0") for number, name in enumerate("abcd", 1))
RECIPE = load_recipe("dsr1-dep", [])


class Hosts(Transport):
    """Hosts that answer with what they are made of; one without is not reached."""

    def __init__(self, **changes: dict[str, FactValue]) -> None:
        self.changes, self.asked = changes, list[str]()

    def run_verb(self, host: str, verb: AgentVerb) -> CommandResult:
        self.asked.append(host)
        if host not in self.changes:
            raise HostError(f"{host}: no route to it")
        return CommandResult(
            0, json.dumps(to_plain(make_facts(**self.changes[host]))).encode(), b""
        )

    def attach(self, host: str, since: int) -> AgentLink:
        raise HostError(f"{host}: nothing to attach to")

    def logs(self, host: str, follow: Callable[[], bool]) -> Iterator[tuple[str, str]]:
        return iter(())

    def open_job(self, host: str, job: str) -> AbstractContextManager[JobStream]:
        raise NotImplementedError


def settings(*checks: str) -> RunSettings:
    return make_settings(RECIPE, Survey((A, B), (C, D), (), {}), checks)


def test_the_first_that_is_fit_takes_the_place() -> None:
    hosts = Hosts(c={"limit_nofile": 1024}, d={})
    assert take_spares(RECIPE, settings("sys.nofile"), hosts, ("b",))[0] == (A, D)
    assert hosts.asked == ["c", "d"]


def test_the_next_plan_is_made_from_what_a_spare_is_like_now() -> None:
    """Its adapters may have other names than at the launch; what its runtime answered then stays."""
    hosts = Hosts(c={"limit_nofile": 4096, "kernel": "new"})
    chosen, fresh = take_spares(RECIPE, settings("host.reach"), hosts, ("b",))
    assert (chosen, list(fresh)) == ((A, C), ["c"])
    before = {"a": {"x": Fact(1, "")}, "c": {**make_facts(), RUNTIME: Fact("answered", "")}}
    after = update_facts(before, fresh)
    assert after["a"] == before["a"]
    assert after["c"]["limit.nofile"] == fresh["c"]["limit.nofile"]
    assert after["c"][RUNTIME].value == "answered"


def test_without_a_fit_one_each_is_told_with_its_reason() -> None:
    with pytest.raises(
        LaunchFailed,
        match=r"no spare is left for b\nc: sys.nofile: at most 1024 open files.*\nd: host.reach",
    ):
        take_spares(RECIPE, settings("sys.nofile"), Hosts(c={"limit_nofile": 1024}), ("b",))


def test_a_run_that_was_launched_unchecked_looks_at_no_spare() -> None:
    hosts = Hosts()
    assert take_spares(RECIPE, settings(), hosts, ("a",)) == ((C, B), {})
    assert hosts.asked == []


def test_too_few_spares() -> None:
    with pytest.raises(LaunchFailed, match="no spare is left for a, b"):
        take_spares(RECIPE, replace(settings(), spares=(C,)), Hosts(), ("a", "b"))
