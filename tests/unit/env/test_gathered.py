"""All facts of a host whose files hold garbage, or aren't files, and what the checks make of
them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.env.hgx import CAPTURES, NEEDS, captured_facts

from dsr1.env.checks.all import IDS, run_checks
from dsr1.env.checks.kinds import KINDS
from dsr1.env.fabric import parse_fabric
from dsr1.hosts.agent.facts.gather import gather_facts
from dsr1.hosts.agent.facts.gpu.nvml import unknown_gpu
from dsr1.hosts.protocol.facts.fact import Fact, from_wire, to_plain
from dsr1.hosts.protocol.facts.request import FactsRequest

# Python 3.12 warns of a fork in a process of several threads; pytest-xdist's have some, the agent's
# has one.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

PORT, PCI = "sys/class/infiniband/mlx5_0/ports/1", "sys/bus/pci/devices/0000:00:06.0"
FILES = (
    *(f"{PORT}/{name}" for name in ("state", "phys_state", "link_layer", "rate", "lid", "sm_lid")),
    *(f"{PCI}/{name}" for name in ("vendor", "class")),
    *(
        f"proc/driver/nvidia/{name}"
        for name in ("version", "params", "gpus/0000:00:06.0/information")
    ),
    *(
        f"proc/{name}"
        for name in ("meminfo", "modules", "swaps", "cpuinfo", "cmdline", "uptime", "self/cgroup")
    ),
    *(f"proc/net/{name}" for name in ("tcp", "tcp6")),
    *(f"proc/sys/kernel/{name}" for name in ("numa_balancing", "threads-max", "pid_max")),
    *(f"proc/sys/net/ipv4/{name}" for name in ("ip_local_port_range", "ip_local_reserved_ports")),
    "proc/sys/net/ipv4/ip_unprivileged_port_start",
    "proc/self/mountinfo",
    "etc/os-release",
    "etc/modprobe.d/nvidia.conf",
    "sys/class/net/eth0/mtu",
    "sys/kernel/mm/transparent_hugepage/enabled",
    "sys/kernel/iommu_groups/0/type",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
    "dev/kmsg",
)
WITHOUT_A_VALUE = (
    "nvidia.driver",
    "memory.total",
    "memory.available",
    "memory.thp",
    "cpu.cores",
    "cpu.virtual",
    "kernel.numa_balancing",
    "kernel.uptime_s",
    "limit.threads",
    "cgroup.pids",
    "net.ephemeral",
    "net.unprivileged",
    "gpu.kernel",
    "os.name",
)
Make = Callable[[Path], object]
GARBAGE: dict[str, Make] = {
    "empty": lambda file: file.write_bytes(b""),
    "a newline": lambda file: file.write_bytes(b"\n"),
    "not UTF-8": lambda file: file.write_bytes(b"\xff\xfe\x00\x80"),
    "colons": lambda file: file.write_bytes(b": : :\n"),
    "words": lambda file: file.write_bytes(b"NVRM version: none"),
    "digits": lambda file: file.write_bytes(b"9" * 5000),
    "lines": lambda file: file.write_bytes(b"a\n" * 3),
    "huge": lambda file: file.write_bytes(b"x" * (5 * 2**20)),
    "a folder": lambda file: file.mkdir(),
    "a loop": lambda file: file.symlink_to(file),
}


def gathered(root: Path) -> dict[str, Fact]:
    told = gather_facts(
        FactsRequest(model="/nowhere", peers=("localhost",), folders=("/tmp",), pins=("nothing",)),
        root,
    )
    return from_wire(json.loads(json.dumps(to_plain(told))))


@pytest.mark.parametrize("name", sorted(file.stem for file in CAPTURES.glob("facts*.json")))
def test_captures_are_of_todays_form(tmp_path: Path, name: str) -> None:
    """What came later is there without a value. Only a host with nvcc tells its version; two facts
    aren't gathered."""
    captured, today = captured_facts(name), gathered(tmp_path)
    later = {
        "ib.switches",
        "model.drafts",
        "net.resolved",
        "software.deepep_nvshmem",
        "software.ucx",
    }
    assert captured.keys() | later >= today.keys()
    assert captured.keys() <= {*today, "software.nvcc", "clock.offset", "runtime"}
    assert not [
        n
        for n, fact in captured.items()
        if fact.value is not None and n in KINDS and not KINDS[n](fact.value)
    ]
    gpus: Any = captured["gpu.devices"].value
    assert {frozenset(gpu) for gpu in gpus} == {frozenset(unknown_gpu(""))}
    fabric = parse_fabric(captured)
    assert fabric is not None
    assert len(fabric.gpus) == len(gpus)


@pytest.mark.parametrize("kind", GARBAGE)
def test_sources_of_garbage(tmp_path: Path, kind: str) -> None:
    (tmp_path / "dev/infiniband").mkdir(parents=True)
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        GARBAGE[kind](tmp_path / name)
    facts = gathered(tmp_path)
    wrong = {name: facts[name].value for name in WITHOUT_A_VALUE if facts[name].value is not None}
    assert wrong == {}
    assert all(facts[name].problem for name in WITHOUT_A_VALUE)
    found = run_checks({"a": facts, "b": facts}, NEEDS)
    assert {f.check for f in found} == set(IDS)
    judged = {f.check: f.verdict for f in found}
    blind = (
        "gpu.model",
        "gpu.driver",
        "sys.ram",
        "sys.numa_balancing",
        "net.ephemeral",
        "ibgda.mem_reg",
        "cfg.memory",
    )
    assert {judged[check] for check in blind} == {"UNKNOWN"}


def test_a_host_that_shows_nothing(tmp_path: Path) -> None:
    facts = gathered(tmp_path)
    assert all(facts[name].problem for name in WITHOUT_A_VALUE)
    found = run_checks({"a": facts}, replace(NEEDS, pins=()))
    assert not [f for f in found if f.verdict == "PASS" and f.check.startswith(("gpu.", "nvl."))]
