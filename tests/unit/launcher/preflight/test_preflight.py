"""Which checks run, what the plan needs, and how findings are shown."""

import re
from pathlib import Path

import pytest

from dsr1.env.checks.all import TAKES_TIME
from dsr1.env.findings import REACH, FindingRow, Overview, fold_rows, overview
from dsr1.hosts.errors import CheckFailed, HostError, InputError
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.facts.fact import Fact
from dsr1.hosts.protocol.facts.request import parse_facts_request, render_facts_request
from dsr1.hosts.transport.results import FactsByHost
from dsr1.launcher.cli.views.findings import mended_by_prep, page_of, print_findings
from dsr1.launcher.preflight.draft import make_draft
from dsr1.launcher.preflight.preflight import CHECKS, choose_checks, judge_facts, refuse_unfit
from dsr1.launcher.preflight.requirements import make_facts_request, make_requirements
from dsr1.launcher.preflight.survey_result import Survey
from dsr1.launcher.recipe.load import load_recipe

PAGE = Path(__file__).parents[4] / "docs" / "checks.md"


def test_every_check_has_its_place_in_the_docs() -> None:
    assert sorted(re.findall(r"^## (.+)$", PAGE.read_text(), re.MULTILINE)) == sorted(
        {REACH, *CHECKS}
    )


def test_a_kind_stands_for_its_checks() -> None:
    assert set(choose_checks(("ibgda",), ())) == {"ibgda.params", "ibgda.gdrcopy", "ibgda.mem_reg"}
    assert set(choose_checks((), ("gpu", "ib"))) == {
        name for name in CHECKS if not name.startswith(("gpu.", "ib."))
    }
    assert choose_checks((), ()) == tuple(check for check in CHECKS if check not in TAKES_TIME)
    assert choose_checks(("ib.growth",), ()) == ("ib.growth",)


@pytest.mark.parametrize("word", ["gp", "gpu.", "", "gpu.none"])
def test_a_word_that_is_no_check(word: str) -> None:
    with pytest.raises(InputError, match=r"is no check.*docs/checks.md has them all"):
        choose_checks((word,), ())


def hosts(*names: str) -> list[Host]:
    return [Host(name, f"10.0.0.{number}", "eth0") for number, name in enumerate(names, 1)]


def test_what_r1_over_two_hosts_needs() -> None:
    recipe = load_recipe("dsr1-dep", ["engines.main.eplb={num_redundant_experts: 32}"])
    needs = make_requirements(make_draft(recipe, hosts("a", "b")))
    assert (needs.gpus, needs.ibgda, needs.pins) == (8, True, (("ai-dynamo", "vllm"),))
    (share,) = needs.engines
    assert (share.expert_ranks, share.redundant_experts, share.hosts) == (16, 32, 2)
    assert share.queue_depth is None or share.queue_depth >= 1024
    assert needs.for_host("a").ports != needs.for_host("b").ports
    assert not make_requirements(make_draft(load_recipe("dsr1-dep", []), hosts("a"))).ibgda


def test_a_host_needs_the_gpus_that_the_plan_takes_not_eight() -> None:
    one = load_recipe("dsr1-dep", ["engines.main.ranks_per_node=1"])
    assert make_requirements(make_draft(one, hosts("a"))).gpus == 1


def test_engines_that_share_a_host_add_up() -> None:
    engines = (
        "engines={p: {nodes: 1, ranks_per_node: 2, role: prefill}, d: {nodes: 1, ranks_per_node: 4,"
        " role: decode}}"
    )
    needs = make_requirements(make_draft(load_recipe("dsr1-dep", [engines]), hosts("a")))
    assert (needs.for_host("a").gpus, needs.gpus, needs.transfers_kv) == (6, 6, True)


def test_a_host_alone_is_judged_for_a_plan_of_several() -> None:
    needs = make_requirements(
        make_draft(load_recipe("dsr1-dep", ["engines.main.nodes=2"]), hosts("a"))
    )
    assert (needs.gpus, needs.hosts, needs.engines[0].expert_ranks, needs.ibgda) == (8, 2, 16, True)


def test_engines_that_each_keep_to_one_host_need_no_ibgda() -> None:
    """What goes between the hosts is the KV cache alone, by NIXL."""
    apart = [
        f"engines.{engine}.{key}"
        for engine in ("prefill", "decode")
        for key in ("ranks_per_node=8", "moe_backend=null")
    ]
    backends = [
        "engines.prefill.all2all_backend=deepep_high_throughput",
        "engines.decode.all2all_backend=deepep_low_latency",
    ]
    few = ["engines.decode.max_num_batched_tokens=256", "engines.decode.max_num_seqs=256"]
    recipe = load_recipe("dsr1-disagg-8gpu", ["model.path=/r1", *apart, *backends, *few])
    needs = make_requirements(make_draft(recipe, hosts("a", "b")))
    assert needs.backends == ("deepep_high_throughput", "deepep_low_latency")
    assert (needs.ibgda, needs.rdma) == (False, True)
    twice = load_recipe("dsr1-dep", ["engines.main.nodes=1", "engines.main.replicas=2"])
    assert not make_requirements(make_draft(twice, hosts("a", "b"))).rdma


def test_a_host_alone_is_judged_for_engines_apart() -> None:
    engines = "engines={p: {nodes: 1, role: prefill}, d: {nodes: 2, role: decode}}"
    needs = make_requirements(make_draft(load_recipe("dsr1-dep", [engines]), hosts("a")))
    assert (needs.for_host("a").gpus, [share.expert_ranks for share in needs.engines]) == (
        8,
        [8, 16],
    )


def test_a_rehearsal_needs_no_gpu() -> None:
    needs = make_requirements(
        make_draft(load_recipe("dsr1-dep", ["stack=mocker"]), hosts("a", "b"))
    )
    assert (needs.gpus, needs.ibgda, needs.engines) == (0, False, ())


def test_what_hosts_are_asked() -> None:
    asked = make_facts_request(make_draft(load_recipe("dsr1-dep", []), hosts("a", "b")), "10.0.0.1")
    assert (asked.leader, asked.peers, asked.pins) == ("10.0.0.1", ("a", "b"), ("ai-dynamo",))
    assert 8000 in asked.ports
    assert parse_facts_request(render_facts_request(asked)) == asked


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"model": ""}', "null"])
def test_what_is_not_a_facts_request(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"facts request without|must be an object|Expecting value"
    ):
        parse_facts_request(text)


def seen(told: FactsByHost) -> Survey:
    named = tuple(Host(name, name) for name in told)
    return Survey(named, (), (), told, make_draft(load_recipe("dsr1-dep", []), named))


def test_an_unfit_host_is_refused_and_a_lost_one_is_no_check() -> None:
    few = {"limit.nofile": Fact(1024, "getrlimit")}
    with pytest.raises(
        CheckFailed, match=r"a,b: sys.nofile: at most 1024 open files.*\n`dsr1 check` shows all"
    ):
        refuse_unfit(seen({"a": few, "b": few}), ("sys.nofile",))
    with pytest.raises(HostError, match="b: gone"):
        refuse_unfit(seen({"a": {}, "b": HostError("b: gone")}), ("sys.nofile",))
    draft = make_draft(load_recipe("dsr1-dep", []), hosts("b"))
    assert [f.check for f in judge_facts(draft, {"b": HostError("b: gone")}, ())] == [REACH]


def test_equal_findings_share_a_row() -> None:
    findings = [
        Finding(host, check, "FAIL", "0", "8", "fix")
        for check in ("x", "y")
        for host in ("n1", "n2", "n3")
    ]
    assert fold_rows(findings) == [
        FindingRow("FAIL", ("x", "y"), "n[1-3]", (("n[1-3]", "0"),), "8", "fix")
    ]


def test_what_differs_by_host_shares_a_paragraph() -> None:
    """As clocks do, each by its own fraction of a second."""
    findings = [
        Finding(f"n{number:03}", "x", "WARN", f"{number} s", "0", "fix") for number in range(1, 129)
    ]
    (row,) = fold_rows(findings)
    assert (row.hosts, row.seen[:2]) == ("n[001-128]", (("n001", "1 s"), ("n002", "2 s")))


def many(hosts: int) -> list[Finding]:
    """One host is sick, and one check is for nobody."""
    names = [f"node{number:03}" for number in range(hosts)]
    passed = [
        Finding(name, check, "PASS", "8", "8", "")
        for name in names[1:]
        for check in ("gpu.count", "sys.shm")
    ]
    sick = [
        Finding(names[0], check, "FAIL", "7", "8", "fix") for check in ("gpu.count", "gpu.model")
    ]
    return [
        *sick,
        Finding(names[0], "sys.shm", "WARN", "1", "16", "fix"),
        *passed,
        Finding(names[1], "ib.x", "SKIP", "", "", ""),
    ]


def test_hosts_by_kinds_of_checks() -> None:
    assert overview(many(128)) == Overview(
        ("gpu", "sys"),
        (("node000", (("FAIL", 2), ("WARN", 1))), ("node[001-127]", (("PASS", 1), ("PASS", 1)))),
    )
    assert overview(many(128)[3:]) == Overview((), (("node[001-127]", ()),), ("gpu", "sys"))


def sick_everywhere(hosts: int) -> list[Finding]:
    """Every other host, each in its own way."""
    odd = [f"node{number:03}" for number in range(1, hosts, 2)]
    return [
        Finding(host, "sys.clock", "WARN", f"{host} is {'very ' * 20}late", "time", "fix")
        for host in odd
    ]


@pytest.mark.parametrize("hosts", [1, 2, 16, 128])
def test_what_a_person_sees(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hosts: int
) -> None:
    """No name is cut off, whatever the width."""
    for name, value in (("COLUMNS", "80"), ("FORCE_COLOR", "1"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    print_findings([*many(max(2, hosts)), *sick_everywhere(hosts)], every=False)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, shown)) <= 80
    assert len(shown) < 60
    assert [line.split() for line in shown[:2]] == [
        ["gpu", "sys", "hosts"],
        ["2", "FAIL", "1", "WARN", "node000"],
    ]
    assert "FAIL    gpu.count, gpu.model: node000" in shown
    assert not [line for line in shown if "…" in line or line.endswith(" ")]


def test_without_a_terminal_a_thing_is_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    two = Finding("a", "sw.arguments", "FAIL", "ValueError: no\nsuch backend", "arguments", "fix")
    print_findings([two, *sick_everywhere(128)], every=False)
    shown = capsys.readouterr().out.splitlines()
    assert f"        node001: node001 is {'very ' * 20}late" in shown
    assert "        and 56 more: --json shows all" in shown
    assert [line for line in shown if "no" in line.split() or "backend" in line] == [
        "        ValueError: no",
        "        such backend",
    ]


def test_what_prep_mends_is_said() -> None:
    checks = (
        ("gpu.count", "FAIL"),
        ("sys.shm", "WARN"),
        ("ibgda.params", "FAIL"),
        ("sys.memlock", "PASS"),
        ("sys.nofile", "UNKNOWN"),
    )
    found = [Finding("a", check, verdict, "", "", "") for check, verdict in checks]
    assert mended_by_prep(found) == ["ibgda.params", "sys.shm"]


def test_a_page_for_each_finding() -> None:
    """As hosts of Markdown make anchors of headings."""
    assert page_of("gpu.ecc_mode") == "docs/checks.md#gpuecc_mode"
    assert len({page_of(check) for check in CHECKS}) == len(CHECKS)
