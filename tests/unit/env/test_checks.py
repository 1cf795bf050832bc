"""Checks, on the capture of a real H100 machine and on what is made of it."""

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.env.hgx import (
    GPU,
    HEALTHY,
    LOW_LATENCY,
    NEEDS,
    captured_facts,
    make_facts,
    two_hosts,
    with_gpu,
)

from dsr1.env.checks.all import IDS, run_checks
from dsr1.env.checks.kinds import KINDS
from dsr1.env.checks.requirements import Requirements
from dsr1.env.ibgda import OVERRIDE, handler
from dsr1.hosts.agent.facts.gpu.driver import nvidia_readers, parse_driver, parse_params
from dsr1.hosts.agent.facts.system import parse_meminfo
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.facts.fact import Fact, Facts, FactValue, from_wire, observe, to_plain
from dsr1.hosts.transport.results import parse_facts

CAPTURE = Path(__file__).parents[2] / "data" / "h100-80gb-vm"
TWO_HOSTS = Requirements(1, 2, (LOW_LATENCY,))
GPU_FIELDS = {
    "name": "nvmlDeviceGetName",
    "capability": "nvmlDeviceGetCudaComputeCapability",
    "memory": "nvmlDeviceGetMemoryInfo",
    "processes": "nvmlDeviceGetComputeRunningProcesses",
    "mig": "nvmlDeviceGetMigMode",
    "compute_mode": "nvmlDeviceGetComputeMode",
    "persistence": "nvmlDeviceGetPersistenceMode",
    "ecc": "nvmlDeviceGetEccMode",
    "remapped": "nvmlDeviceGetRemappedRows",
    "throttle": "nvmlDeviceGetCurrentClocksEventReasons",
    "power_limit": "nvmlDeviceGetPowerManagementLimit",
    "pcie_width": "nvmlDeviceGetCurrPcieLinkWidth",
    "pcie_width_max": "nvmlDeviceGetMaxPcieLinkWidth",
}


def captured(heading: str) -> str:
    """One file of the capture: the lines below its heading, up to the next."""
    text = (CAPTURE / "host.txt").read_text()
    return re.split(
        r"^##? .*$", text.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE
    )[0]


def captured_gpu() -> dict[str, FactValue]:
    lines = (CAPTURE / "nvml.txt").read_text().splitlines()
    told = {words[1]: words[2] for line in lines if len(words := line.split(" ", 2)) == 3}

    def literal(text: str) -> FactValue:
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            return text
        return list(found) if isinstance(found, tuple) else found

    gpu = {field: literal(told[call]) for field, call in GPU_FIELDS.items()}
    memory = gpu["memory"]
    assert isinstance(memory, dict)
    return (
        gpu
        | {
            "memory": memory["total"],
            "memory_used": memory["used"],
            "power_default": gpu["power_limit"],
        }
        | {"ecc_uncorrected": 0}
    )


def root_of_capture(tmp_path: Path) -> Path:
    driver = tmp_path / "proc/driver/nvidia"
    driver.mkdir(parents=True)
    for name in ("version", "params"):
        (driver / name).write_text(captured(f"/proc/driver/nvidia/{name}"))
    device = tmp_path / "sys/bus/pci/devices/0000:00:06.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x10de\n")
    (device / "class").write_text("0x030200\n")
    (tmp_path / "dev").mkdir()
    return tmp_path


@pytest.fixture
def h100(tmp_path: Path) -> dict[str, Fact]:
    facts = observe(nvidia_readers(root_of_capture(tmp_path)))
    more: dict[str, FactValue] = {
        "gpu.devices": [captured_gpu()],
        "nvidia.nodes": {"nvidia0": True},
        "ib.devices": [],
        "ib.verbs": {},
        "limit.memlock": -1,
        "limit.nofile": 20000,
        "software": {},
    }
    return facts | {name: Fact(value, "capture") for name, value in more.items()}


def finding(facts: Facts, check: str, needs: Requirements = TWO_HOSTS) -> Finding:
    (found,) = run_checks({"h": facts}, needs, (check,))
    return found


def test_a_real_h100_without_regkeys_fails_for_ibgda(h100: dict[str, Fact]) -> None:
    found = finding(h100, "ibgda.params")
    assert (found.verdict, "EnableStreamMemOPs 0" in found.seen) == ("FAIL", True)
    assert "NVreg_EnableStreamMemOPs=1" in found.fix


def test_a_real_h100_is_healthy_but_has_no_adapter(h100: dict[str, Fact]) -> None:
    found = {f.check: f.verdict for f in run_checks({"h": h100}, TWO_HOSTS)}
    assert {verdict for check, verdict in found.items() if check.startswith("gpu.")} == {
        "PASS",
        "UNKNOWN",
    }
    assert {
        found[check]
        for check in ("gpu.model", "gpu.mig", "gpu.remap", "gpu.throttle", "gpu.power_limit")
    } == {"PASS"}
    assert (found["ib.present"], found["ib.uverbs"], found["sys.nofile"]) == (
        "FAIL",
        "SKIP",
        "WARN",
    )
    assert (found["ibgda.mem_reg"], found["sys.memlock"], found["sys.shm"]) == (
        "UNKNOWN",
        "SKIP",
        "UNKNOWN",
    )


@pytest.mark.parametrize(
    ("nvshmem", "gdrcopy", "verdict"),
    [
        ("3.4.5", False, "WARN"),
        ("3.4.4", False, "FAIL"),
        ("3.4.4", True, "WARN"),
        ("3.0.5", True, "FAIL"),
    ],
)
def test_without_regkeys_nvshmem_decides(
    h100: dict[str, Fact], nvshmem: str, gdrcopy: bool, verdict: str
) -> None:
    more = {
        "software": Fact({"nvidia-nvshmem-cu13": nvshmem}, ""),
        "gdrcopy.usable": Fact(gdrcopy, ""),
    }
    assert finding(h100 | more, "ibgda.params").verdict == verdict


def test_an_nvshmem_that_deepep_was_built_with_is_not_known(h100: dict[str, Fact]) -> None:
    built = h100 | {"software.modules": Fact(["deep_ep"], "test")}
    assert "an NVSHMEM of its own" in finding(built, "ibgda.params").seen
    assert finding(built, "ibgda.params").verdict == "WARN"


def test_options_that_wait_for_a_reboot_are_told_apart(h100: dict[str, Fact]) -> None:
    written = Fact('options nvidia NVreg_RegistryDwords="PeerMappingOverride=1;"', "")
    assert "reboot" in finding(h100 | {"nvidia.configured": written}, "ibgda.params").fix


def test_loaded_regkeys_pass(h100: dict[str, Fact]) -> None:
    loaded = Fact(
        {"EnableStreamMemOPs": "1", "RegistryDwords": "Other=2;PeerMappingOverride=0x1;"}, ""
    )
    assert finding(h100 | {"nvidia.params": loaded}, "ibgda.params").verdict == "PASS"


@pytest.mark.parametrize(
    "text", ["PeerMappingOverride=10;", "NotPeerMappingOverride=1", "", "PeerMappingOverride=0"]
)
def test_what_is_no_override(text: str) -> None:
    assert not OVERRIDE.search(text)


@pytest.mark.parametrize(
    ("kernel", "peermem", "verdict"),
    [("5.12.0", None, "PASS"), ("4.18.0-553.el8", False, "FAIL"), ("4.18", True, "PASS")],
)
def test_what_lets_adapters_reach_a_gpu(kernel: str, peermem: bool | None, verdict: str) -> None:
    facts = make_facts(kernel_release=kernel, nvidia_peermem=peermem)
    assert finding(facts, "ibgda.mem_reg", NEEDS).verdict == verdict


def test_a_plan_without_gpus_judges_none() -> None:
    found = run_checks({"h": {}}, Requirements(0, 2))
    assert {f.verdict for f in found if f.check.startswith(("gpu.", "ib"))} == {"SKIP"}


def test_no_facts_are_unknown_never_passed() -> None:
    found = run_checks(
        {"a": {}, "b": {}}, replace(TWO_HOSTS, pins=(("a", "b"),), folders={"/tmp": 1})
    )
    assert {f.check for f in found} == set(IDS)
    assert {f.verdict for f in found if f.check != "net.port_overlap"} <= {
        "UNKNOWN",
        "SKIP",
    }  # it needs the plan alone


def test_facts_travel(h100: dict[str, Fact]) -> None:
    assert from_wire(to_plain(h100)) == h100
    with pytest.raises(ValueError, match="'source' is missing"):
        from_wire({"a": {"value": 1}})


def test_parsers() -> None:
    assert parse_params('A: 1\nRegistryDwords: "x=1;y"\n') == {"A": "1", "RegistryDwords": "x=1;y"}
    assert parse_driver(captured("/proc/driver/nvidia/version")) == {
        "version": "580.159.04",
        "open": True,
    }
    assert parse_meminfo("MemAvailable:  2 kB\nHugePages_Total: 3\n") == {
        "MemAvailable": 2048,
        "HugePages_Total": 3,
    }
    assert (handler((), True), handler((3, 4, 5), False)) == ("", "cpu_host_memory")


def test_facts_that_an_agent_told_of_a_real_h100() -> None:
    """NVSHMEM 3.4.5 is installed there: IBGDA is possible without the keys, and still no PASS."""
    found = {f.check: f for f in run_checks({"h": captured_facts("facts")}, TWO_HOSTS)}
    assert {f.verdict for check, f in found.items() if check.startswith("gpu.")} <= {
        "PASS",
        "UNKNOWN",
    }
    assert (found["ibgda.params"].verdict, "host memory" in found["ibgda.params"].seen) == (
        "WARN",
        True,
    )
    assert (found["ib.present"].verdict, found["sys.cgroup_devices"].verdict) == ("FAIL", "PASS")
    assert found["ib.present"].fix.endswith("all2all_backend=allgather_reducescatter")


def test_what_others_chose_does_no_harm_to_a_terminal() -> None:
    """Names of processes and files, and variables, may be any bytes."""
    told: dict[str, FactValue] = {
        "clock.now": 1.0,
        "environment": {"\x1b[2J": "\udcff", "b": "é\x9b\n"},
        "kernel.modules": ["a\x00\tb"],
    }
    plain = to_plain({name: Fact(value, "s") for name, value in told.items()})
    facts = parse_facts(json.dumps(plain).encode(), 0.0, 2.0)
    assert facts["environment"].value == {"\ufffd[2J": "?", "b": "é\ufffd\n"}
    assert facts["kernel.modules"].value == ["a\ufffd\tb"]


LIES: tuple[FactValue, ...] = (
    None,
    True,
    -1,
    1e308,
    "",
    "x",
    "\udcff",
    [],
    [None],
    [[]],
    {},
    {"a": [1]},
    [{}],
)


@pytest.mark.parametrize("name", sorted(HEALTHY))
def test_a_fact_that_lies_never_breaks_a_judge_nor_passes(name: str) -> None:
    """On one of two healthy hosts. What isn't of the fact's kind passes no check that can't do
    without the fact."""
    site = two_hosts()
    absent = verdicts({**site, "b": {key: fact for key, fact in site["b"].items() if key != name}})
    for lie in LIES:
        found = verdicts({**site, "b": {**site["b"], name: Fact(lie, "a liar")}})
        assert found.keys() == absent.keys(), lie
        if lie is not None and name in KINDS and not KINDS[name](lie):
            passed = {check for check, verdict in found.items() if verdict == "PASS"}
            assert not {check for check in passed if absent[check] == "UNKNOWN"}, lie


def verdicts(site: Mapping[str, Facts]) -> dict[str, str]:
    """Of host b, by check."""
    return {f.check: f.verdict for f in run_checks(site, NEEDS) if f.host == "b"}


@pytest.mark.parametrize("name", sorted(GPU))
def test_a_gpu_that_lies_never_passes(name: str) -> None:
    """Whatever NVML says of one GPU of eight that is of another type than what it should say."""
    readers = [check for check in IDS if check.startswith(("gpu.", "nvl."))]
    absent = verdicts(two_hosts(gpu_devices=with_gpu(3, **{name: None})))
    for lie in LIES:
        if type(lie) is not type(GPU[name]):
            found = verdicts(two_hosts(gpu_devices=with_gpu(3, **{name: lie})))
            wrong = [
                check
                for check in readers
                if found.get(check) == "PASS" and absent[check] == "UNKNOWN"
            ]
            assert not wrong, lie
