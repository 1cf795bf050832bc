"""A spare is judged when it is to take a place, by what it is like then."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest
from tests.unit.env.hgx import make_facts

from dsr1.hosts.errors import CheckFailed, HostError
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.fact import FactValue, to_plain
from dsr1.hosts.transport.base import AgentLink, AgentVerb, CommandResult, JobStream, Transport
from dsr1.launcher.preflight.survey import Survey
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.run.launch import make_settings
from dsr1.launcher.run.spares import take_spares
from dsr1.launcher.run.store import RunSettings

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
    assert take_spares(RECIPE, settings("sys.nofile"), hosts, ("b",)) == (A, D)
    assert hosts.asked == ["c", "d"]


def test_without_a_fit_one_each_is_told_with_its_reason() -> None:
    with pytest.raises(
        CheckFailed,
        match=r"no spare is left for b\nc: sys.nofile: at most 1024 open files.*\nd: host.reach",
    ):
        take_spares(RECIPE, settings("sys.nofile"), Hosts(c={"limit_nofile": 1024}), ("b",))


def test_a_run_that_was_launched_unchecked_looks_at_no_spare() -> None:
    hosts = Hosts()
    assert take_spares(RECIPE, settings(), hosts, ("a",)) == (C, B)
    assert hosts.asked == []


def test_too_few_spares() -> None:
    with pytest.raises(CheckFailed, match="no spare is left for a, b"):
        take_spares(RECIPE, replace(settings(), spares=(C,)), Hosts(), ("a", "b"))
