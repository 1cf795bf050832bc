"""Checks of adapters: on platforms as they are sold, on what breaks there, and on sysfs that
lies."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.fake_sysfs import PLATFORMS, facts_of, load_platform, observed
from tests.unit.env.hgx import LOW_LATENCY

from dsr1.env.checks.adapters import counters, pci, ports
from dsr1.env.checks.adapters.select import select, selected
from dsr1.env.checks.all import run_checks
from dsr1.env.checks.requirements import HostRequirements, Requirements
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.facts.fact import Fact, Facts, FactValue

NEEDS = Requirements(8, 2, (LOW_LATENCY,))
CHECKS = ports.CHECKS | pci.CHECKS | counters.CHECKS
IDS = (*CHECKS, *ports.EQUAL)
NAMES = sorted(file.stem for file in PLATFORMS.glob("*.yaml"))


def found(facts: Facts, needs: Requirements = NEEDS) -> dict[str, Finding]:
    return {finding.check: finding for finding in run_checks({"a": facts, "b": facts}, needs, IDS)}


def broken(
    root: Path, name: str, adapters: dict[str, dict[str, Any]], **more: Any
) -> dict[str, Finding]:
    """A platform with some adapters otherwise."""
    platform = deepcopy(load_platform(name)) | more
    for adapter, change in adapters.items():
        platform["adapters"][adapter] |= change
    return found(facts_of(root, platform))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "aws-p5"])
def test_a_healthy_platform(tmp_path: Path, name: str) -> None:
    verdicts = {
        check: f"{f.verdict} {f.seen}"
        for check, f in found(facts_of(tmp_path, load_platform(name))).items()
    }
    expected = {"ib.gpu_affinity"} if name == "azure-nd-v5" else set()
    assert {
        check for check, said in verdicts.items() if not said.startswith(("PASS", "SKIP"))
    } == expected, verdicts


def test_efa_fails_early_and_says_what_else(tmp_path: Path) -> None:
    checks = found(facts_of(tmp_path, load_platform("aws-p5")))
    assert (checks["ib.present"].verdict, checks["ib.driver"].verdict) == ("FAIL", "FAIL")
    assert "allgather_reducescatter, or deepep_v2" in checks["ib.driver"].fix
    other = replace(NEEDS, engines=(replace(LOW_LATENCY, backend=""),))
    assert (
        found(facts_of(tmp_path / "2", load_platform("aws-p5")), other)["ib.present"].verdict
        == "WARN"
    )


DOWN = {"state": "1: DOWN", "phys": "2: Polling"}


@pytest.mark.parametrize(
    ("name", "adapters", "check", "verdict", "seen"),
    [
        ("dgx-h100", {"mlx5_3": DOWN}, "ib.state", "FAIL", "mlx5_3:1 DOWN/Polling"),
        ("dgx-h100", {"mlx5_1": DOWN}, "ib.state", "PASS", "8 up"),
        ("azure-nd-v5", {"mlx5_ib7": DOWN}, "ib.state", "FAIL", "mlx5_ib7:1 DOWN/Polling"),
        ("dgx-h100", {"mlx5_3": {"state": "2: INIT"}}, "ib.state", "WARN", "mlx5_3:1 INIT/LinkUp"),
        ("dgx-h100", {"mlx5_3": {"rate": 100}}, "ib.rate", "FAIL", "mlx5_3:1 100 Gb/s"),
        ("dgx-h100", {"mlx5_3": {"sm_lid": "0x0"}}, "ib.sm", "FAIL", "mlx5_3:1: no lid"),
        (
            "dgx-h100",
            {"mlx5_3": {"link_error_recovery": 3}},
            "ib.counters",
            "WARN",
            "mlx5_3:1 link_error_recovery 3",
        ),
        (
            "dgx-h100",
            {"mlx5_3": {"pci": {"current_link_width": 8}}},
            "ib.vf_pci",
            "FAIL",
            "mlx5_3 x8 of x16",
        ),
        (
            "dgx-h100",
            {"mlx5_3": {"pci": {"current_link_speed": "16.0 GT/s PCIe"}}},
            "ib.vf_pci",
            "WARN",
            "mlx5_3 16.0 of 32.0 GT/s",
        ),
        (
            "dgx-h100",
            {"mlx5_3": {"pci": {"current_link_width": 0}}},
            "ib.vf_pci",
            "UNKNOWN",
            "mlx5_3",
        ),
        (
            "oci-h200",
            {"mlx5_3": {"gids": ["fe80::1"]}},
            "ib.gid",
            "FAIL",
            "mlx5_3:1: no RoCE v2 GID",
        ),
        (
            "oci-h200",
            {"mlx5_3": {"gids": ["169.254.9.9", "fe80::1"]}},
            "ib.gid",
            "FAIL",
            "mlx5_3:1: no RoCE v2 GID",
        ),
        (
            "oci-h200",
            {"mlx5_3": {"gids": ["169.254.9.9", "192.168.1.1"]}},
            "ib.gid",
            "PASS",
            "index 3, forced",
        ),
        (
            "oci-h200",
            {"mlx5_3": {"gids": ["169.254.9.9", "fe80::2", "10.8.0.1"]}},
            "ib.gid",
            "FAIL",
            "no one index",
        ),
    ],
)
def test_what_breaks_is_named(
    tmp_path: Path,
    name: str,
    adapters: dict[str, dict[str, Any]],
    check: str,
    verdict: str,
    seen: str,
) -> None:
    said = broken(tmp_path, name, adapters)[check]
    assert (said.verdict, seen in said.seen) == (verdict, True), said


def test_small_frames_of_the_bond_over_the_ports(tmp_path: Path) -> None:
    interfaces = {f"bond{number}": {"files": {"mtu": 1500}} for number in range(1, 9)}
    assert broken(tmp_path, "roce-bond", {}, interfaces=interfaces)["ib.mtu"].seen.startswith(
        "bond1 1500"
    )


def test_verbs_of_the_chosen_adapters_alone(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, load_platform("dgx-h100"))
    shut: dict[str, FactValue] = {
        f"uverbs{number}": number != 8 for number in range(12)
    }  # mlx5_1, for storage
    assert (
        found(facts | {"ib.verbs": Fact({**shut, "rdma_cm": True}, "")})["ib.uverbs"].verdict
        == "PASS"
    )
    assert (
        found(facts | {"ib.verbs": Fact({**shut, "uverbs1": False}, "")})["ib.uverbs"].verdict
        == "FAIL"
    )


def grown(**more: int) -> Fact:
    still: dict[str, FactValue] = {
        f"mlx5_{n}:1": {"link_downed": 0, "symbol_error": 0} for n in range(12)
    }
    return Fact(
        {
            "seconds": 2.0,
            "ports": {**still, "mlx5_3:1": {"link_downed": 0, "symbol_error": 0, **more}},
        },
        "test",
    )


@pytest.mark.parametrize(
    ("more", "verdict", "seen"),
    [
        ({}, "PASS", "nothing in 2.0 s"),
        ({"link_downed": 1}, "FAIL", "mlx5_3:1 link_downed 0.5/s"),
        ({"symbol_error": 19}, "PASS", "nothing"),
        ({"symbol_error": 21}, "WARN", "mlx5_3:1 symbol_error 10.5/s"),
    ],
)
def test_counters_that_grow(tmp_path: Path, more: dict[str, int], verdict: str, seen: str) -> None:
    facts = facts_of(tmp_path, load_platform("dgx-h100"))
    assert found(facts)["ib.growth"].verdict == "SKIP"
    said = found(facts | {"ib.growth": grown(**more)})["ib.growth"]
    assert (said.verdict, seen in said.seen) == (verdict, True), said


@pytest.mark.parametrize(
    "lie", [None, {}, {"seconds": 0, "ports": {}}, {"seconds": "x"}, {"seconds": 1, "ports": []}]
)
def test_counters_that_lie_are_unknown(tmp_path: Path, lie: FactValue) -> None:
    facts = facts_of(tmp_path, load_platform("dgx-h100"))
    assert found(facts | {"ib.growth": Fact(lie, "a liar")})["ib.growth"].verdict == "UNKNOWN"


def test_a_second_that_was_none_is_unknown(tmp_path: Path) -> None:
    ports: dict[str, FactValue] = {f"mlx5_{n}:1": {"link_downed": 1} for n in range(12)}
    fact = Fact({"seconds": 0.0, "ports": ports}, "a liar")
    facts = facts_of(tmp_path, load_platform("dgx-h100"))
    assert found(facts | {"ib.growth": fact})["ib.growth"].verdict == "UNKNOWN"


def test_hosts_with_other_adapters_and_firmware(tmp_path: Path) -> None:
    site = {
        name: facts_of(tmp_path / name, load_platform(name))
        for name in ("dgx-h100", "oci-h200", "oci-h100")
    }
    said = {(f.check, f.host): f for f in run_checks(site, NEEDS, ("ib.same", "ib.fw"))}
    assert {f.verdict for (check, _), f in said.items() if check == "ib.same"} == {"FAIL"}
    assert "16 x Ethernet 200 Gb/s" in said["ib.same", "oci-h100"].seen
    assert said["ib.fw", "oci-h100"].seen == "MT4129 28.39.1002"


def test_the_users_own_choice_is_judged(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, load_platform("dgx-h100"))
    needs = replace(
        NEEDS,
        by_host={
            "a": HostRequirements(8, hca=("mlx5_[08]",)),
            "b": HostRequirements(8, hca=("mlx5_0", "mlx5_2")),
        },
    )
    said = {(f.check, f.host): f for f in run_checks({"a": facts, "b": facts}, needs, IDS)}
    assert said["ib.state", "a"].verdict == "FAIL"
    assert (said["ib.mixed", "a"].verdict, said["ib.mixed", "b"].verdict) == ("FAIL", "FAIL")
    assert "has 4 GPUs" in said["ib.gpu_affinity", "b"].seen


LIES: tuple[FactValue, ...] = (None, -1, "\udcff", [], {"a": [1]})


def twisted(value: FactValue, lie: FactValue) -> list[FactValue]:
    """The value with a lie in the place of each of its parts, one at a time; of lists the first
    item stands for all."""
    if isinstance(value, dict):
        return [
            lie,
            *({**value, key: twin} for key, part in value.items() for twin in twisted(part, lie)),
        ]
    if isinstance(value, list) and value:
        return [lie, *([twin, *value[1:]] for twin in twisted(value[0], lie))]
    return [lie]


def test_lies_are_never_a_traceback_and_all_checks_speak(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, load_platform("roce-bond"))
    for fact in (
        "ib.devices",
        "pci.gpus",
        "net.interfaces",
        "net.default",
        "net.control",
        "ib.verbs",
    ):
        for lie in LIES:
            for value in twisted(facts[fact].value, lie):
                said = run_checks({"a": facts | {fact: Fact(value, "a liar")}}, NEEDS, CHECKS)
                assert {f.check for f in said} == set(CHECKS), (fact, value)


@pytest.mark.parametrize(
    "garbage", [b"", b"\n", b"\xff\xfe", b"9" * 5000, b": : :", b"-1", b"0x", b"4: ACTIVE\0"]
)
@pytest.mark.parametrize(
    ("file", "check"),
    [
        ("ports/1/lid", "ib.sm"),
        ("device/current_link_width", "ib.vf_pci"),
        ("device/max_link_speed", "ib.vf_pci"),
    ],
)
def test_a_file_of_garbage_is_no_pass(
    tmp_path: Path, file: str, check: str, garbage: bytes
) -> None:
    facts_of(tmp_path, load_platform("dgx-h100"))
    (tmp_path / "sys/class/infiniband/mlx5_3" / file).write_bytes(garbage)
    assert found(observed(tmp_path))[check].verdict in ("UNKNOWN", "FAIL")


@pytest.mark.parametrize(
    ("downed", "changes", "days", "verdict", "seen"),
    [
        (0, 1, 0.5, "PASS", "0 times at most"),
        (6, 1, 0.5, "WARN", "mlx5_3:1 6 times in 0.5 days"),
        (6, 1, 90, "PASS", "6 times at most"),
        (0, 40, 2, "WARN", "mlx5_3:1 20 times"),
    ],
)
def test_links_that_come_and_go(
    tmp_path: Path, downed: int, changes: int, days: float, verdict: str, seen: str
) -> None:
    platform = deepcopy(load_platform("dgx-h100"))
    platform["adapters"]["mlx5_3"]["link_downed"] = downed
    own = platform["adapters"]["mlx5_3"]["net"]
    platform.setdefault("interfaces", {})[own] = {"files": {"carrier_changes": changes}}
    facts = facts_of(tmp_path, platform) | {"kernel.uptime_s": Fact(days * 86400, "test")}
    (said,) = run_checks({"a": facts}, NEEDS, ("ib.flap",))
    assert (said.verdict, seen in said.seen) == (verdict, True), said


def test_a_port_that_the_control_network_needs_is_not_slow(tmp_path: Path) -> None:
    """In a virtual machine all of a socket's ports are as near, and one of them is left to it."""
    rate = broken(tmp_path, "azure-nd-v5", {}, control="ib0", default="ib0")["ib.rate"]
    assert (rate.verdict, rate.seen) == ("WARN", "7 x 400 Gb/s")


def test_a_host_where_nvshmem_is_dealt_nothing_is_told(tmp_path: Path) -> None:
    """GPUs and adapters in pairs behind switches, and adapters that vLLM's mapping can't tell
    apart: one has its second port up."""
    platform = deepcopy(load_platform("dgx-h100"))
    gpus, adapters = platform["gpus"], platform["adapters"]
    gpus[1] = gpus[0].replace("17:00.0 1b:00.0", "17:02.0 1c:00.0")
    adapters["mlx5_3"]["at"] = adapters["mlx5_0"]["at"].replace(
        "17:01.0 18:00.0", "17:03.0 19:00.0"
    )
    assert found(facts_of(tmp_path / "dealt", platform))["ib.gpu_affinity"].verdict == "PASS"
    adapters["mlx5_3"]["port"] = 2
    said = found(facts_of(tmp_path / "undealt", platform))["ib.gpu_affinity"]
    assert (said.verdict, said.seen) == ("WARN", "NVSHMEM gives 2 GPUs mlx5_0:1 by itself")
    assert "layout: per_gpu" in said.fix


def rails(tmp_path: Path, *platforms: dict[str, Any]) -> list[tuple[str, str]]:
    facts = {f"h{n}": facts_of(tmp_path / str(n), platform) for n, platform in enumerate(platforms)}
    needs = replace(NEEDS, hosts=len(platforms))
    told = {one.host: one for one in run_checks(facts, needs, ["ib.rails"])}
    return [(told[host].verdict, told[host].seen) for host in facts]


def addressed(*numbers: int) -> dict[str, Any]:
    """RoCE hosts: the adapter of GPU n has an address of rail numbers[n]."""
    platform = deepcopy(load_platform("oci-h200"))
    own = [name for name, one in platform["adapters"].items() if "rate" not in one]
    for name, rail in zip(own, numbers, strict=True):
        platform["adapters"][name]["address"] = f"192.168.{rail}.7"
    return platform


def test_rails_that_are_crossed_are_named(tmp_path: Path) -> None:
    straight, crossed = range(8), (0, 1, 3, 2, 4, 5, 6, 7)
    seen = rails(tmp_path, addressed(*straight), addressed(*straight), addressed(*crossed))
    assert [verdict for verdict, _ in seen] == ["PASS", "PASS", "WARN"]
    assert seen[0][1] == "8 rails"
    assert "192.168.3.6/31, 192.168.2.6/31 on most" in seen[2][1]


@pytest.mark.parametrize(
    ("one", "other", "verdict"),
    [
        (range(8), range(8), "PASS"),
        ([5] * 8, [5] * 8, "PASS"),
        (range(8), range(8, 16), "PASS"),
        (range(8), (0, 0, 2, 3, 4, 5, 6, 200), "UNKNOWN"),
    ],
)
def test_rails_are_only_judged_where_subnets_tell(
    tmp_path: Path, one: Any, other: Any, verdict: str
) -> None:
    seen = rails(tmp_path, addressed(*one), addressed(*other))
    assert {found for found, _ in seen} <= {verdict, "PASS"}, seen


def cabled(tmp_path: Path, *hosts: str) -> list[tuple[str, str]]:
    """InfiniBand hosts, and a letter for the switch of each GPU's adapter."""
    told: dict[str, Facts] = {}
    for number, switches in enumerate(hosts):
        facts = dict(facts_of(tmp_path / str(number), load_platform("dgx-h100")))
        needs = select(replace(NEEDS, hosts=len(hosts)), facts)
        near = selected(needs).choice.near
        named = {f"{one.hca.name}:1": at for one, at in zip(near, switches, strict=False)}
        told[f"h{number}"] = facts | {"ib.switches": Fact(dict(named), "smpquery")}
    found = run_checks(told, replace(NEEDS, hosts=len(hosts)), ["ib.rails"])
    by_host = {one.host: one for one in found}
    return [(by_host[host].verdict, by_host[host].seen) for host in told]


@pytest.mark.parametrize(
    ("hosts", "verdicts"),
    [
        (("abcdefgh",) * 3, "PASS PASS PASS"),
        (("abcdefgh", "abcdefgh", "abdcefgh"), "PASS PASS WARN"),
        (("aaaaaaaa", "aaaaaaaa"), "PASS PASS"),
        (("aabbccdd", "aabbccdd", "abbaccdd"), "PASS PASS WARN"),
        (("abcdefgh", "abcdefgh", "ijklmnop"), "PASS PASS PASS"),  # other hosts, other switches
        (("abcdefgh", "abcdefg"), "PASS UNKNOWN"),  # one that doesn't answer
    ],
)
def test_rails_of_infiniband_are_its_switches(
    tmp_path: Path, hosts: tuple[str, ...], verdicts: str
) -> None:
    seen = cabled(tmp_path, *hosts)
    assert " ".join(verdict for verdict, _ in seen) == verdicts, seen
    if "WARN" in verdicts:
        assert "of most hosts" in seen[2][1]
    if "UNKNOWN" in verdicts:
        assert "no switch answers behind" in seen[1][1]


def test_where_nobody_may_ask_them_they_are_not_known(tmp_path: Path) -> None:
    infiniband = load_platform("dgx-h100")
    seen = rails(tmp_path, infiniband, infiniband)
    assert [verdict for verdict, _ in seen] == ["UNKNOWN", "UNKNOWN"]
    assert "iblinkinfo" in seen[0][1]
