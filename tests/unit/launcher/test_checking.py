"""Which checks run, what the plan needs, and how findings are shown."""

import re
from pathlib import Path

import pytest

from dsr1.hosts.errors import CheckFailed, HostError, InputError
from dsr1.hosts.events import Finding
from dsr1.hosts.facts.fact import Fact
from dsr1.hosts.host import Host
from dsr1.launcher.checking import CHECKS, choose, judge, make_needs, refuse_unfit
from dsr1.launcher.cli.check import fold_rows
from dsr1.launcher.findings import REACH
from dsr1.launcher.recipe_file import load_recipe
from dsr1.launcher.survey import Seen, Told

PAGE = Path(__file__).parents[3] / "docs" / "checks.md"


def test_every_check_has_its_place_in_the_docs() -> None:
    assert set(re.findall(r"^## (.+)$", PAGE.read_text(), re.MULTILINE)) == {REACH, *CHECKS}


def test_a_kind_stands_for_its_checks() -> None:
    assert set(choose(("ibgda",), ())) == {"ibgda.params", "ibgda.mem_reg"}
    assert set(choose((), ("gpu", "ib"))) == {name for name in CHECKS if not name.startswith(("gpu.", "ib."))}
    assert choose((), ()) == CHECKS


@pytest.mark.parametrize("word", ["gp", "gpu.", "", "gpu.none"])
def test_a_word_that_is_no_check(word: str) -> None:
    with pytest.raises(InputError, match="is no check; there are: cfg"):
        choose((word,), ())


def test_what_r1_over_two_hosts_needs() -> None:
    needs = make_needs(load_recipe("dsr1-dep", ["engines.main.eplb={num_redundant_experts: 32}"]), 2)
    assert (needs.gpus, needs.ibgda) == (8, True)
    (share,) = needs.shares
    assert (share.expert_ranks, share.redundant_experts, share.low_latency) == (16, 32, True)
    assert not make_needs(load_recipe("dsr1-dep", []), 1).ibgda


def test_a_host_needs_the_gpus_that_the_plan_takes_not_eight() -> None:
    assert make_needs(load_recipe("dsr1-dep", ["engines.main.ranks_per_node=1"]), 1).gpus == 1


def test_a_rehearsal_needs_no_gpu() -> None:
    needs = make_needs(load_recipe("dsr1-dep", ["stack=mocker"]), 2)
    assert (needs.gpus, needs.ibgda, needs.shares) == (0, False, ())


def seen(told: Told) -> Seen:
    return Seen(tuple(Host(name, name) for name in told), (), (), told)


def test_an_unfit_host_is_refused_and_a_lost_one_is_no_check() -> None:
    recipe = load_recipe("dsr1-dep", [])
    few = {"limit.nofile": Fact(1024, "getrlimit")}
    with pytest.raises(CheckFailed, match=r"a, b: sys.nofile: at most 1024 files.*\n`dsr1 check` shows all"):
        refuse_unfit(recipe, seen({"a": few, "b": few}), ("sys.nofile",))
    with pytest.raises(HostError, match="b: gone"):
        refuse_unfit(recipe, seen({"a": {}, "b": HostError("b: gone")}), ("sys.nofile",))
    assert [f.check for f in judge(recipe, {"b": HostError("b: gone")}, ())] == [REACH]


def test_equal_findings_share_a_row() -> None:
    findings = [Finding(host, check, "FAIL", "0", "8", "fix") for check in ("x", "y") for host in ("n1", "n2", "n3")]
    assert fold_rows(findings) == [("FAIL", "x\ny", "n[1-3]", "0", "8\nfix")]
