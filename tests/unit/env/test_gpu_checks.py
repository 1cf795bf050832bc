"""Checks of GPUs, NVLink and the driver, each on a healthy host of which one thing was changed."""

from dataclasses import replace

import pytest
from tests.unit.env.hgx import GPU, HEALTHY, LINK, LOW_LATENCY, NEEDS, SYSTEM, make_facts, with_gpu

from dsr1.env.checks.all import run_checks
from dsr1.env.checks.gpu.values import fold_gpus
from dsr1.env.checks.requirements import HostRequirements
from dsr1.hosts.inventory.names import fold_numbers
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.facts.fact import Fact, FactValue

OLD: FactValue = {"version": "570.1", "open": True}
KINDS = ("gpu.", "nvl.", "sys.cgroup_devices")


def finding(check: str, **changes: FactValue) -> Finding:
    (found,) = run_checks({"a": make_facts(**changes)}, NEEDS, (check,))
    return found


def test_a_healthy_host_passes() -> None:
    found = run_checks({"a": make_facts()}, NEEDS)
    assert {
        f.check: f.seen for f in found if f.verdict != "PASS" and f.check.startswith(KINDS)
    } == {}


@pytest.mark.parametrize(
    ("check", "change", "verdict", "said"),
    [
        (
            "gpu.model",
            {"capability": [8, 0]},
            "FAIL",
            "GPU 2 is NVIDIA H100 80GB HBM3, compute capability [8, 0]",
        ),
        ("gpu.memory", {"memory": 2**36}, "FAIL", "64 GiB, 80 GiB"),
        ("gpu.mig", {"mig": [0, 1]}, "FAIL", "GPU 2 has MIG off now, on after a reset"),
        ("gpu.compute_mode", {"compute_mode": 2}, "FAIL", "GPU 2 is in compute mode PROHIBITED"),
        (
            "gpu.compute_mode",
            {"compute_mode": 3},
            "WARN",
            "GPU 2 is in compute mode EXCLUSIVE_PROCESS",
        ),
        ("gpu.persistence", {"persistence": 0}, "WARN", "GPU 2 has persistence mode off"),
        ("gpu.ecc_mode", {"ecc": [0, 1]}, "WARN", "GPU 2 has ECC off now, on after a reset"),
        (
            "gpu.ecc_uncorrectable",
            {"ecc_uncorrected": 3},
            "FAIL",
            "GPU 2 had 3 uncorrected errors since",
        ),
        (
            "gpu.ecc_uncorrectable",
            {"ecc_sram_uncorrected": 5},
            "FAIL",
            "GPU 2 had 5 uncorrected SRAM errors",
        ),
        (
            "gpu.ecc_uncorrectable",
            {"ecc_sram_exceeded": True},
            "FAIL",
            "more SRAM errors than NVIDIA's threshold",
        ),
        (
            "gpu.ecc_correctable",
            {"ecc_sram_corrected": 10_000},
            "WARN",
            "GPU 2 had 10000 corrected errors in its SRAM",
        ),
        (
            "gpu.ecc_correctable",
            {"ecc_dram_corrected": 20_000_000},
            "WARN",
            "20000000 in its memory",
        ),
        ("gpu.remap", {"remapped": [0, 1, 1, 0]}, "FAIL", "a pending row remapping"),
        ("gpu.remap", {"remapped": [0, 1, 0, 1]}, "FAIL", "a failed row remapping"),
        ("gpu.remap", {"remapped": [0, 513, 0, 0]}, "FAIL", "513 remapped rows"),
        (
            "gpu.remap",
            {"remapped": [0, 1, 0, 0]},
            "WARN",
            "remapped rows after uncorrectable errors: 1",
        ),
        ("gpu.recovery_action", {"recovery_action": 2}, "FAIL", "GPU 2 needs a reboot"),
        (
            "gpu.throttle",
            {"throttle": 0x48},
            "FAIL",
            "hardware slowdown, hardware thermal slowdown",
        ),
        ("gpu.throttle", {"throttle": 0x20}, "WARN", "is throttled: software thermal slowdown"),
        ("gpu.temp", {"temperature": 78}, "WARN", "GPU 2 is at 78 C and slows down at 87 C"),
        ("gpu.power_limit", {"power_limit": 400000}, "WARN", "GPU 2 is limited to 400 W of 700"),
        ("gpu.app_clocks", {"clock_target": 1200}, "WARN", "1200 MHz of 1980"),
        ("gpu.pcie", {"pcie_width": 8}, "FAIL", "x8 of x16"),
        ("gpu.pcie", {"pcie_generation": 1}, "WARN", "generation 1 of 5"),
        (
            "gpu.pcie_replay",
            {"pcie_replays": 7, "grown": {"pcie_replays": 2, "links": 0}},
            "WARN",
            "GPU 2 had 7 PCIe replays, 2 in the last second",
        ),
        ("gpu.vbios", {"vbios": "1"}, "WARN", "1, 96.00.DA.00.0C"),
        (
            "gpu.inforom",
            {"inforom": None, "problems": {"inforom": "Corrupted infoROM"}},
            "FAIL",
            "a corrupted infoROM",
        ),
        (
            "gpu.idle_procs",
            {"memory_used": 5 * 2**30},
            "FAIL",
            "GPU 2 has 5.0 GiB in use by no process",
        ),
        (
            "gpu.idle_procs",
            {"memory_used": 5 * 2**30, "processes": [7]},
            "FAIL",
            "by pid 7, which this user",
        ),
        (
            "nvl.fabric_state",
            {"fabric": {"state": 2, "status": 0, "health": 0}},
            "FAIL",
            "in progress",
        ),
        (
            "nvl.fabric_health",
            {"fabric": {"state": 3, "status": 0, "health": 0x9A}},
            "FAIL",
            "an unhealthy route",
        ),
        (
            "nvl.fabric_health",
            {"fabric": {"state": 3, "status": 0, "health": 0xA9}},
            "WARN",
            "a degraded bandwidth",
        ),
        (
            "nvl.links",
            {"links": [LINK] * 17 + [{"active": False}]},
            "FAIL",
            "GPU 2 has 17 active links of 18",
        ),
        (
            "nvl.topology",
            {"links": [LINK] * 17 + [{"active": False}]},
            "WARN",
            "GPU 0-1,3-7 has 18 links; GPU 2 has 17",
        ),
        ("nvl.speed", {"links": [{**LINK, "speed": 19000}] * 18}, "FAIL", "19000 MB/s"),
        (
            "nvl.errors",
            {
                "links": (
                    [{**LINK, "errors": {"replay": 1, "recovery": 0, "crc_flit": 2, "crc_data": 0}}]
                    * 18
                ),
                "grown": {"pcie_replays": 0, "links": 3},
            },
            "WARN",
            "replay 18, crc_flit 36, 3 in the last second",
        ),
    ],
)
def test_one_sick_gpu_is_named(
    check: str, change: dict[str, FactValue], verdict: str, said: str
) -> None:
    found = finding(check, gpu_devices=with_gpu(2, **change))
    assert found.verdict == verdict, found
    assert said in found.seen
    assert found.fix


@pytest.mark.parametrize(
    ("check", "changes", "verdict", "said"),
    [
        ("gpu.count", {"gpu_devices": [GPU] * 7}, "FAIL", "7 by NVML, 8 on the PCI bus"),
        ("gpu.count", {"nvidia_on_bus": 9}, "WARN", "8 by NVML, 9 on the PCI bus"),
        (
            "sys.cgroup_devices",
            {"nvidia_nodes": {"nvidia0": False}},
            "FAIL",
            "nvidia0 can't be opened",
        ),
        (
            "sys.cgroup_devices",
            {"nvidia_nodes": {f"nvidia{n}": n < 8 for n in range(10)}},
            "PASS",
            "nvidia8, nvidia9",
        ),
        (
            "gpu.driver",
            {"nvidia_driver": OLD, "gpu_system": {**SYSTEM, "cuda": 12080}},
            "FAIL",
            "570.1",
        ),
        (
            "gpu.driver",
            {"nvidia_driver": OLD},
            "PASS",
            "570.1, with CUDA's compatibility libraries",
        ),
        (
            "gpu.driver",
            {
                "nvidia_driver": OLD,
                "gpu_system": {**SYSTEM, "cuda": 12080},
                "software": {"nvidia-nccl-cu12": "2.27"},
            },
            "WARN",
            "570.1",
        ),
        (
            "gpu.cuda_init",
            {"gpu_cuda": {"code": 802, "count": 0}},
            "FAIL",
            "error 802 (the NVLink fabric",
        ),
        ("gpu.cuda_init", {"gpu_cuda": {"code": 0, "count": 4}}, "FAIL", "4 GPUs"),
        ("gpu.conf_compute", {"gpu_system": {**SYSTEM, "confidential": 1}}, "WARN", "on"),
        (
            "nvl.p2p",
            {"gpu_system": {**SYSTEM, "nvlink": [[0, 5] + [0] * 6] + [[0] * 8] * 7}},
            "FAIL",
            "not 0-1",
        ),
        ("nvl.fabricmanager", {"fabric_manager_version": "570.1"}, "WARN", "active, version 570.1"),
        (
            "nvl.fabricmanager",
            {"fabric_manager": {"LoadState": "loaded", "ActiveState": "inactive"}},
            "WARN",
            "inactive",
        ),
        (
            "gpu.xid",
            {"kernel_xids": [{"xid": 79, "pci": "0000:1b:00", "ago_s": 60.0}]},
            "FAIL",
            "79 (fell off the bus)",
        ),
        (
            "gpu.xid",
            {"kernel_xids": [{"xid": 79, "pci": "0000:1b:00", "ago_s": 9999.0}]},
            "WARN",
            "167 min ago",
        ),
        (
            "gpu.xid",
            {"kernel_xids": [{"xid": 68, "pci": "0000:1b:00", "ago_s": None}]},
            "WARN",
            "68 on",
        ),
        (
            "gpu.xid",
            {"kernel_xids": [{"xid": 68, "pci": "0000:1b:00", "ago_s": 1.0}] * 2},
            "FAIL",
            "68 on",
        ),
    ],
)
def test_a_sick_host(check: str, changes: dict[str, FactValue], verdict: str, said: str) -> None:
    found = finding(check, **changes)
    assert found.verdict == verdict, found
    assert said in found.seen


@pytest.mark.parametrize(
    ("name", "active", "verdict"),
    [
        ("NVIDIA H200", 18, "PASS"),
        ("NVIDIA H20", 17, "FAIL"),
        ("NVIDIA H800", 8, "PASS"),
        ("NVIDIA H800", 7, "FAIL"),
        ("NVIDIA H100 NVL", 12, "PASS"),
        ("NVIDIA H100 PCIe", 0, "PASS"),
        ("NVIDIA H100 80GB HBM3", 0, "FAIL"),
    ],
)
def test_links_by_the_kind_of_hopper(name: str, active: int, verdict: str) -> None:
    links: list[FactValue] = [LINK if place < active else {"active": False} for place in range(18)]
    gpu: FactValue = GPU | {"name": name, "links": links}
    assert finding("nvl.links", gpu_devices=[gpu] * 8).verdict == verdict


def test_cards_without_a_bridge_do_for_nccl() -> None:
    apart = make_facts(gpu_system={**SYSTEM, "nvlink": [[1] * 8] * 8})
    nccl = replace(NEEDS, engines=(replace(LOW_LATENCY, backend=""),))
    said = [run_checks({"a": apart}, needs, ("nvl.p2p",))[0].verdict for needs in (NEEDS, nccl)]
    assert said == ["FAIL", "WARN"]


def test_who_else_is_on_gpus_that_the_plan_leaves_alone() -> None:
    people: list[FactValue] = [{"pid": 42, "user": "bob", "command": "", "alive": True}]
    facts = make_facts(
        gpu_devices=with_gpu(7, processes=[42], memory_used=2**35), gpu_processes=people
    )
    needs = replace(NEEDS, by_host={"a": HostRequirements(4)})
    assert run_checks({"a": facts}, needs, ("gpu.idle_procs",))[0].verdict == "PASS"


@pytest.mark.parametrize(
    ("user", "alive", "verdict"),
    [("ada", True, "WARN"), ("bob", True, "FAIL"), ("", False, "PASS")],
)
def test_who_is_on_a_gpu(user: str, alive: bool, verdict: str) -> None:
    people: list[FactValue] = [
        {"pid": 42, "user": user, "command": "python train.py", "alive": alive}
    ]
    found = finding("gpu.idle_procs", gpu_devices=with_gpu(1, processes=[42]), gpu_processes=people)
    assert found.verdict == verdict
    if alive:
        assert f"GPU 1 is used by pid 42 ({user}: python train.py)" in found.seen


@pytest.mark.parametrize(
    ("used_gib", "share", "verdict"),
    [
        (108.0, 0.9, "FAIL"),  # seen on an H200: vLLM found 28.11 of 139.8 GiB free
        (14.1, 0.9, "FAIL"),
        (14.0, 0.9, "WARN"),
        (80.0, 0.42, "WARN"),  # two deployments on the same GPUs, on purpose
        (12.0, None, "FAIL"),  # vLLM 0.31's own 0.92
        (141.0, 0.9, "FAIL"),
    ],
)
def test_a_process_that_leaves_less_than_vllm_takes(
    used_gib: float, share: float | None, verdict: str
) -> None:
    own: list[FactValue] = [{"pid": 42, "user": "ada", "command": "python", "alive": True}]
    used = with_gpu(1, processes=[42], memory=int(140.4 * 2**30), memory_used=int(used_gib * 2**30))
    facts = make_facts(gpu_devices=used, gpu_processes=own, software={"vllm": "0.31.0"})
    engine = replace(LOW_LATENCY, utilization=share)
    (found,) = run_checks({"a": facts}, replace(NEEDS, engines=(engine,)), ("gpu.idle_procs",))
    assert found.verdict == verdict
    assert ("vLLM wants" in found.seen) == (verdict == "FAIL")


def test_a_process_on_a_gpu_of_which_nvml_tells_no_memory() -> None:
    own: list[FactValue] = [{"pid": 42, "user": "ada", "command": "python", "alive": True}]
    blind = with_gpu(1, processes=[42], memory_used=None)
    assert finding("gpu.idle_procs", gpu_devices=blind, gpu_processes=own).verdict == "WARN"


def test_a_gpu_that_is_gone_hides_no_sick_one() -> None:
    found = run_checks(
        {"a": make_facts(gpu_devices=with_gpu(2, mig=[1, 1])[:7])}, NEEDS, ("gpu.count", "gpu.mig")
    )
    assert {f.check: f.verdict for f in found} == {"gpu.count": "FAIL", "gpu.mig": "FAIL"}


def test_gpus_that_the_plan_leaves_alone_are_not_judged() -> None:
    (found,) = run_checks(
        {"x": make_facts(gpu_devices=with_gpu(7, mig=[1, 1]))}, NEEDS.__class__(4, 1), ("gpu.mig",)
    )
    assert found.verdict == "PASS"


@pytest.mark.parametrize("reason", ["Not Supported", "GPU is lost", "Timeout", "Unknown Error", ""])
def test_what_nvml_does_not_tell_is_unknown_with_its_reason(reason: str) -> None:
    """Whatever it is, and however few GPUs it is of."""
    for name in GPU:
        missing: dict[str, FactValue] = {name: None, "problems": {name: reason}}
        mute = with_gpu(3, **missing)
        for found in run_checks({"a": make_facts(gpu_devices=mute)}, NEEDS):
            reads = found.check in READERS and name in READERS[found.check]
            assert not reads or found.verdict in ("UNKNOWN", "FAIL"), (name, found)
            if (
                found.verdict == "UNKNOWN"
                and reads
                and reason
                and found.check not in ("gpu.vbios", "gpu.memory")
            ):
                assert reason in found.seen


READERS = {
    "gpu.mig": {"mig"},
    "gpu.ecc_mode": {"ecc"},
    "gpu.remap": {"remapped"},
    "gpu.throttle": {"throttle"},
    "gpu.temp": {"temperature", "temperature_slowdown"},
    "gpu.pcie": {"pcie_width", "pcie_generation"},
    "gpu.vbios": {"vbios"},
    "gpu.memory": {"memory"},
    "gpu.inforom": {"inforom"},
    "nvl.links": {"links"},
    "nvl.fabric_state": {"fabric"},
    "cfg.memory": {"memory"},
}


@pytest.mark.parametrize(
    ("problem", "kernel", "verdict"),
    [
        ("Driver Not Loaded", 8, "UNKNOWN"),
        ("nvidia-ml-py is not in the runtime's Python", 8, "UNKNOWN"),
        ("Driver Not Loaded", 4, "FAIL"),
        ("did not answer in 20 s", 8, "FAIL"),
    ],
)
def test_without_nvml_nothing_passes(problem: str, kernel: int, verdict: str) -> None:
    listed = HEALTHY["gpu.kernel"]
    assert isinstance(listed, list)
    mute = {
        name: Fact(None, "NVML", problem) for name in ("gpu.devices", "gpu.system", "gpu.processes")
    }
    facts = make_facts(gpu_kernel=listed[:kernel]) | mute
    found = {f.check: f for f in run_checks({"a": facts}, NEEDS)}
    assert found["gpu.count"].verdict == verdict
    assert problem in found["gpu.count"].seen
    by_nvml = [
        f for name, f in found.items() if name.startswith(KINDS) and name not in WITHOUT_NVML
    ]
    assert {f.verdict for f in by_nvml} == {"UNKNOWN"}
    assert all(problem in f.seen for f in by_nvml)


WITHOUT_NVML = ("gpu.count", "gpu.xid", "gpu.driver", "gpu.cuda_init", "sys.cgroup_devices")


def test_a_cuda_that_hangs_fails() -> None:
    hung = {"gpu.cuda": Fact(None, "cuInit", "did not answer in 40 s")}
    (found,) = run_checks({"a": make_facts() | hung}, NEEDS, ("gpu.cuda_init",))
    assert (found.verdict, found.seen) == ("FAIL", "cuInit did not answer in 40 s")


def test_folding() -> None:
    assert fold_numbers([0, 1, 2, 3, 5, 7]) == "0-3,5,7"
    assert fold_gpus({0: "is hot", 1: "is hot", 4: "is cold"}) == "GPU 0-1 is hot; GPU 4 is cold"
