"""The environment that a plan gives to hosts as they are sold: which adapters, and the variables
that follow."""

from pathlib import Path
from typing import Any

import pytest
from tests.fake_sysfs import PLATFORMS, facts_of, load_platform

from dsr1.hosts.inventory.host import Host
from dsr1.launcher.plan.plan import OPEN_FRONTEND, Plan, make_plan
from dsr1.launcher.recipe.load import parse_recipe

AGGREGATED = "main: {all2all_backend: deepep_low_latency}"
DISAGGREGATED = (
    "prefill: {role: prefill, nodes: 1, all2all_backend: deepep_high_throughput}, "
    "decode: {role: decode, nodes: 1, all2all_backend: deepep_low_latency}"
)
OF_ADAPTERS = (
    "NCCL_IB",
    "NVSHMEM_HCA",
    "NVSHMEM_IB",
    "NVSHMEM_IBGDA",
    "UCX_",
    "VLLM_GPU_NIC",
    "VLLM_NIC",
)


def plan_of(root: Path, platform: dict[str, Any], engines: str, more: str = "") -> Plan:
    facts = facts_of(root, platform)
    control = platform["control"]
    hosts = (Host("a", "10.0.0.1", control), Host("b", "10.0.0.2", control))
    recipe = parse_recipe(f"name: t\nmodel: {{path: /m}}\nengines: {{{engines}}}\n{more}", "t")
    return make_plan(recipe, hosts, "r", "/run/r", {"a": facts, "b": facts})


def of_adapters(plan: Plan, process: str) -> dict[str, str]:
    (env,) = (p.env for p in plan.processes if p.name == process)
    return {v.name: v.value for v in env if v.name.startswith(OF_ADAPTERS)}


@pytest.mark.parametrize("name", sorted(file.stem for file in PLATFORMS.glob("*.yaml")))
def test_platform(tmp_path: Path, name: str) -> None:
    platform = load_platform(name)
    plan = plan_of(tmp_path / "1", platform, AGGREGATED)
    assert of_adapters(plan, "main-1") == platform["variables"]
    assert list(plan.notes) == [*platform.get("notes", []), OPEN_FRONTEND]
    apart = plan_of(tmp_path / "2", platform, DISAGGREGATED)
    assert of_adapters(apart, "decode-0") == platform["variables"] | platform["for NIXL"]
