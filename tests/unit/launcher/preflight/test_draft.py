"""The plan is made once before there are facts, and once from them: real calls are counted, on
every thread."""

import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType

import pytest
from tests.unit.launcher.machines import Machines

from dsr1.hosts.errors import HostError, InputError
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.inventory.host import Host
from dsr1.launcher.plan import plan as planning
from dsr1.launcher.preflight.draft import make_draft, redraft
from dsr1.launcher.preflight.preflight import choose_checks, extras_of, judge_survey
from dsr1.launcher.preflight.survey import survey_here, survey_hosts
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.run.backend import LaunchRequest
from dsr1.launcher.run.launch import prepare_run
from dsr1.launcher.run.local import LocalBackend
from dsr1.launcher.run.prepare import plan_run
from dsr1.launcher.run.store import new_run

TWO = (Host("a", "10.0.0.1", "eth0"), Host("b", "10.0.0.2", "eth0"))
ACCESSES = tuple(Access(host.name, host.address) for host in TWO)
ALL = choose_checks((), ())
HERE = load_recipe("dsr1-dep", ("engines.main.nodes=1", f"runtime.python={sys.executable}"))


class Calls:
    """How often a function is entered, wherever it is called from."""

    def __init__(self) -> None:
        self.number = 0

    def profile(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is planning.make_plan.__code__:
            self.number += 1


@pytest.fixture
def plans() -> Iterator[Calls]:
    calls = Calls()
    threading.setprofile(calls.profile)
    sys.setprofile(calls.profile)
    yield calls
    sys.setprofile(None)
    threading.setprofile(None)


def test_a_check_makes_one(plans: Calls) -> None:
    survey = survey_here(HERE, extras_of(ALL))
    assert {finding.check for finding in judge_survey(survey, ALL)} >= {"sw.flags", "sys.nofile"}
    assert plans.number == 1


def test_a_check_of_hosts_makes_one(plans: Calls) -> None:
    survey = survey_hosts(load_recipe("dsr1-dep"), ACCESSES, (), Machines(TWO), extras_of(ALL))
    assert {finding.host for finding in judge_survey(survey, ALL)} == {"a", "b"}
    assert plans.number == 1


def test_a_launch_makes_two(plans: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))
    backend, request = LocalBackend(), LaunchRequest(HERE, "r", no_check=True)
    prepare_run(new_run("r"), HERE, lambda run: backend.prepare(request, (), run))
    assert plans.number == 2
    assert new_run("r").plan().run == "r"


def test_a_launch_on_hosts_makes_two(
    plans: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over SSH and in a job alike: survey, judge, write down."""
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))
    recipe, run = load_recipe("dsr1-dep"), new_run("r")
    run.claim(recipe, "starting")
    survey = survey_hosts(recipe, ACCESSES, (), Machines(TWO), extras_of(ALL))
    judge_survey(survey, ALL)
    plan_run(run, recipe, survey, ALL)
    assert (plans.number, [host.host for host in run.plan().hosts]) == (2, ["a", "b"])


def test_a_draft_is_of_the_hosts_that_the_recipe_wants() -> None:
    draft = make_draft(load_recipe("dsr1-dep", ("engines.main.nodes=3",)), TWO)
    assert [host.name for host in draft.whole] == ["a", "b", "(host 3)"]
    assert "needs 3 hosts" in draft.problem
    assert make_draft(load_recipe("dsr1-dep"), TWO).problem == ""
    with pytest.raises(InputError, match="data_parallel_size"):
        make_draft(load_recipe("dsr1-dep", ("engines.main.data_parallel_size=3",)), TWO)


def test_it_is_made_anew_only_where_the_plan_changes() -> None:
    draft = make_draft(load_recipe("dsr1-dep", ("engines.main.ranks_per_node=8",)), TWO)
    fewer = redraft(draft, [Host(host.name, host.address, "eth0", 4) for host in TWO])
    assert (fewer.plan is draft.plan, bool(fewer.problem)) == (True, True)
    assert redraft(draft, TWO[:1]).plan is not draft.plan


def test_the_control_network_holds_the_leaders_address() -> None:
    """It is asked for by an address in it; what the kernel sends from otherwise is refused."""
    recipe = load_recipe("dsr1-dep")
    networks = [tuple(replace(one, network=net) for one in ACCESSES) for net in NETWORKS]
    hosts = survey_hosts(recipe, networks[0], (), Machines(TWO), ()).hosts
    assert [host.address for host in hosts] == ["10.0.0.1", "10.0.0.2"]
    with pytest.raises(HostError, match=r"a: has no address in control_network 10.9.0.0/16"):
        survey_hosts(recipe, networks[1], (), Machines(TWO), ())
    with_own = (replace(networks[1][0], control_address="10.0.0.1"), networks[1][1])
    survey_hosts(recipe, with_own, (), Machines(TWO), ())


NETWORKS = ("10.0.0.0/24", "10.9.0.0/16")
