"""Variables: which there are and where they are explained, who wins, and what adapters make of
them."""

import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from tests.fake_sysfs import facts_of, load_platform
from tests.unit.env.test_fabric_checks import twisted
from tests.unit.launcher.plan.test_platforms import (
    AGGREGATED,
    DISAGGREGATED,
    OF_ADAPTERS,
    of_adapters,
    plan_of,
)

from dsr1.env.rdma import RdmaUses, rdma_variables
from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.facts.fact import Fact, FactValue
from dsr1.hosts.protocol.runtime import RuntimeAnswer
from dsr1.launcher.layout.adapters import choose_adapters
from dsr1.launcher.layout.placement import make_topology
from dsr1.launcher.plan.plan import Plan, make_plan
from dsr1.launcher.plan.render_text import render_text
from dsr1.launcher.plan.runtime_knowledge import runtime_fact
from dsr1.launcher.recipe.load import load_recipe, parse_recipe

PAGE = Path(__file__).parents[4] / "docs" / "environment.md"
HOSTS = (Host("a", "10.0.0.1", "eth0"), Host("b", "10.0.0.2", "eth0"))
KEYLESS = {
    "nvidia.params": Fact({"EnableStreamMemOPs": "0", "RegistryDwords": ""}, "test"),
    "software": Fact({"nvidia-nvshmem-cu13": "3.4.5", "vllm": "0.31.0"}, "test"),
    "model.config": Fact({"hidden_size": 7168}, "test"),
    "cache.root": Fact("/var/tmp/cache", "test"),
}
PER_GPU = "decode: {layout: per_gpu, kv_transfer: nixl, all2all_backend: deepep_low_latency}"


def odd_gids(platform: dict[str, Any]) -> dict[str, Any]:
    """The first IPv4 entry of every port is link-local, as an interface has that asked nobody."""
    changed = deepcopy(platform)
    for adapter in changed["adapters"].values():
        adapter["gids"] = ["169.254.7.7", adapter.get("address", "10.9.9.9")]
    return changed


def plans(tmp_path: Path) -> Iterator[Plan]:
    """Together they have every variable that there is."""
    facts = facts_of(tmp_path / "dgx", load_platform("dgx-h100")) | KEYLESS
    both = {"a": facts, "b": facts}
    yield make_plan(load_recipe("dsr1-dep"), HOSTS, "r", "/r", both)
    yield make_plan(
        load_recipe("dsr1-dep", ["engines.main.ranks_per_node=4"]), HOSTS[:1], "r", "/r"
    )
    kvbm = parse_recipe(
        "name: t\nmodel: {path: /m}\nengines: {main: {kv_transfer: kvbm, ranks_per_node: 1}}", "t"
    )
    yield make_plan(kvbm, HOSTS[:1], "r", "/r")
    yield plan_of(tmp_path / "roce", odd_gids(load_platform("rocep")), DISAGGREGATED)
    yield plan_of(tmp_path / "gpu", load_platform("dgx-h100"), PER_GPU)


def test_every_variable_is_explained(tmp_path: Path) -> None:
    processes = [process for plan in plans(tmp_path) for process in plan.processes]
    names = {v.name for p in processes for v in p.env} | {
        s.name for p in processes for s in p.secrets
    }
    explained = set(re.findall(r"`([A-Z][A-Z0-9_]+)(?:=[^`]*)?`", PAGE.read_text()))
    assert names - explained == set()
    assert explained - names == {"VLLM_USE_DEEP_GEMM", "VLLM_MOE_USE_DEEP_GEMM"}


def test_a_rank_of_its_own_process_gets_its_own_adapter(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, load_platform("dgx-h100"), PER_GPU)
    assert [of_adapters(plan, f"decode-{rank}")["UCX_NET_DEVICES"] for rank in (0, 6, 8)] == [
        "mlx5_0:1",
        "mlx5_10:1",
        "mlx5_0:1",
    ]
    assert "VLLM_GPU_NIC_PCIE_MAPPING" not in of_adapters(plan, "decode-0")


def test_two_engines_on_a_host_map_their_own_gpus(tmp_path: Path) -> None:
    halves = "{role: %s, nodes: 2, ranks_per_node: 4}"
    plan = plan_of(
        tmp_path, load_platform("dgx-h100"), f"p: {halves % 'prefill'}, d: {halves % 'decode'}"
    )
    assert of_adapters(plan, "p-0")["VLLM_GPU_NIC_PCIE_MAPPING"].startswith(
        "0000:1b:00.0=0000:18:00.0,"
    )
    assert of_adapters(plan, "d-1")["VLLM_GPU_NIC_PCIE_MAPPING"].startswith(
        "0000:9d:00.0=0000:9a:00.0,"
    )


def test_an_index_is_forced_where_the_automatic_one_has_no_address(tmp_path: Path) -> None:
    found = of_adapters(
        plan_of(tmp_path, odd_gids(load_platform("rocep")), DISAGGREGATED), "decode-0"
    )
    assert {found[f"{user}_IB_GID_INDEX"] for user in ("NCCL", "NVSHMEM", "UCX")} == {"3"}


def test_what_rings_the_doorbell_without_keys(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, load_platform("dgx-h100")) | KEYLESS
    for gdrcopy, word in ((True, "cpu"), (False, "cpu_host_memory")):
        host = facts | {"gdrcopy.usable": Fact(gdrcopy, "test")}
        plan = make_plan(load_recipe("dsr1-dep"), HOSTS, "r", "/r", {"a": host, "b": facts})
        assert of_adapters(plan, "main-0")["NVSHMEM_IBGDA_NIC_HANDLER"] == word


def test_adapters_of_the_users_own_choice(tmp_path: Path) -> None:
    platform = load_platform("dgx-h100")
    plan = plan_of(tmp_path / "1", platform, AGGREGATED, "hca: [mlx5_10, 'mlx5_[03]:1']\n")
    assert of_adapters(plan, "main-0")["NCCL_IB_HCA"] == "=mlx5_10:1,mlx5_0:1,mlx5_3:1"
    facts = facts_of(tmp_path / "2", platform)
    hosts = (Host("a", "10.0.0.1", "e", hca=("mlx5_4",)), HOSTS[1])
    recipe = parse_recipe(
        f"name: t\nmodel: {{path: /m}}\nengines: {{{AGGREGATED}}}\nhca: [mlx5_5]\n", "t"
    )
    plan = make_plan(recipe, hosts, "r", "/r", {"a": facts, "b": facts})
    assert [of_adapters(plan, f"main-{n}")["NCCL_IB_HCA"] for n in (0, 1)] == [
        "=mlx5_4:1",
        "=mlx5_5:1",
    ]
    with pytest.raises(
        InputError, match=r"hca: 'mlx5_99' is not an adapter of a, which has mlx5_0:1, mlx5_1:1"
    ):
        plan_of(tmp_path / "3", platform, AGGREGATED, "hca: [mlx5_99]\n")


@pytest.mark.parametrize("word", ["", "a b", "';id", "x,y", "=mlx5_0", "mlx5_0:x", "[1]\n"])
def test_what_is_no_adapters_name(word: str) -> None:
    with pytest.raises(InputError, match="hca"):
        parse_recipe(
            f"name: t\nmodel: {{path: /m}}\nengines: {{{AGGREGATED}}}\nhca: [{word!r}]\n", "t"
        )


def test_hostile_names_reach_no_variable(tmp_path: Path) -> None:
    platform = load_platform("dgx-h100")
    before, _, _ = platform["adapters"]["mlx5_0"]["at"].rpartition("18:00.0")
    for number, name in enumerate(
        ("a b", "';id", "x,y", "=z", "^q", "n\nm", '{"a": 1}', "\udcff", "-x", "é")
    ):
        platform["adapters"][name] = {"at": f"{before}18:{number:02x}.1"}
    value = of_adapters(plan_of(tmp_path, platform, AGGREGATED), "main-0")["NCCL_IB_HCA"]
    assert re.fullmatch(r"=(mlx5_\d+:1,?){8}", value)


def test_a_hostile_name_stays_within_a_comment(tmp_path: Path) -> None:
    platform = load_platform("dgx-h100")
    platform["adapters"]["mlx5\n\x1b[2Jrm -rf ~;"] = {"at": "0 29 29:01.0 2a:00.5", "rate": 100}
    platform["adapters"]["mlx5_3"]["port"] = 2  # so that vLLM's mapping can't deal them
    text = render_text(plan_of(tmp_path, platform, AGGREGATED))
    lines = [line for line in text.splitlines() if "rm -rf" in line]
    comment = re.compile(r"export NVSHMEM_HCA_LIST=[a-z0-9_:,]+  # [^\x1b]*mlx5\?\?\[2Jrm -rf ~;")
    assert [bool(comment.match(line)) for line in lines] == [True, True]


def test_the_recipes_word_wins_and_a_note_says_over_what(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path, load_platform("dgx-h100"), AGGREGATED, "runtime: {env: {NCCL_IB_HCA: mlx5}}\n"
    )
    assert of_adapters(plan, "main-1")["NCCL_IB_HCA"] == "mlx5"
    note, _ = plan.notes
    assert note.startswith("a, b: NCCL_IB_HCA=mlx5 (recipe runtime.env) goes before =mlx5_0:1,")


@pytest.mark.parametrize(
    ("own", "dealt"),
    [
        ("UCX_NET_DEVICES", "NVSHMEM_HCA_LIST:1"),
        ("NVSHMEM_HCA_LIST", "UCX_NET_DEVICES:1"),
        ("NVSHMEM_HCA_PE_MAPPING", "UCX_NET_DEVICES:1"),
        ("DEEP_EP_DEVICE_TO_HCA_MAPPING", "UCX_NET_DEVICES:1"),
    ],
)
def test_the_recipes_other_way_to_say_it_is_not_meddled_with(
    tmp_path: Path, own: str, dealt: str
) -> None:
    platform = load_platform("dgx-h100")
    before = of_adapters(plan_of(tmp_path / "1", platform, DISAGGREGATED), "decode-0")
    env = f"runtime: {{env: {{{own}: 'mlx5_0:1'}}}}\n"
    after = of_adapters(plan_of(tmp_path / "2", platform, DISAGGREGATED, env), "decode-0")
    assert before["VLLM_NIC_SELECTION_VARS"] == "NVSHMEM_HCA_LIST:1,UCX_NET_DEVICES:1"
    assert after["VLLM_NIC_SELECTION_VARS"] == dealt
    assert before.keys() ^ after.keys() == ({own} if own.startswith(OF_ADAPTERS) else set())


def test_a_vllm_that_knows_no_mapping_is_given_the_list(tmp_path: Path) -> None:
    platform = load_platform("dgx-h100")
    facts = facts_of(tmp_path, platform)
    known = RuntimeAnswer(vllm="0.11.0", variables=("VLLM_HOST_IP",), parsers=())
    told = facts | {"runtime": runtime_fact(known)}
    hosts = (Host("a", "10.0.0.1", "eth0"), Host("b", "10.0.0.2", "eth0"))
    recipe = parse_recipe(f"name: t\nmodel: {{path: /m}}\nengines: {{{DISAGGREGATED}}}\n", "t")
    plan = make_plan(recipe, hosts, "r", "/r", {"a": told, "b": told})
    found = of_adapters(plan, "decode-0")
    assert found["NVSHMEM_HCA_LIST"] == found["UCX_NET_DEVICES"] == found["NCCL_IB_HCA"][1:]
    assert "VLLM_NIC_SELECTION_VARS" not in found


def test_adapters_that_make_no_sense_are_left_out_with_a_note() -> None:
    facts = {"ib.devices": Fact([{"name": 1}], "a liar")}
    plan = make_plan(load_recipe("dsr1-dep"), HOSTS, "r", "/r", {"a": facts, "b": facts})
    assert plan.notes[0].startswith(
        "a, b: no adapters are set: its facts make no sense: ib.devices[0]"
    )
    assert of_adapters(plan, "main-0") == {}


def test_lies_leave_a_plan_or_a_note_and_no_odd_value(tmp_path: Path) -> None:
    honest = facts_of(tmp_path, load_platform("roce-bond"))
    recipe = load_recipe("dsr1-dep")
    topology = make_topology(recipe, HOSTS)
    lies: tuple[FactValue, ...] = (None, -1, "x,y\n", {"a": [1]}, float("nan"))
    for fact in (
        "ib.devices",
        "pci.gpus",
        "net.interfaces",
        "net.default",
        "net.control",
        "gpu.devices",
    ):
        for value in (
            twin
            for lie in lies
            for twin in twisted(honest[fact].value if fact in honest else [{}], lie)
        ):
            choices = choose_adapters(
                recipe, topology, {"a": honest | {fact: Fact(value, "a liar")}}
            )
            for variable in rdma_variables(
                choices["a"], RdmaUses(deepep=True, nixl=True, devices=tuple(range(8)))
            ):
                assert re.fullmatch(r"[A-Za-z0-9_:=,.]*", variable.value), (fact, value)


def test_waiting_for_others_takes_as_long_as_the_start_may() -> None:
    def argv(*changes: str) -> str:
        return " ".join(
            make_plan(load_recipe("dsr1-dep", list(changes)), HOSTS, "r", "/r").processes[-1].argv
        )

    assert "--distributed-timeout-seconds 5400 --cpu-distributed-timeout-seconds 5400" in argv()
    assert "--cpu-distributed-timeout-seconds" not in argv("timeouts.ready=900")
    assert "distributed-timeout" not in argv("timeouts.ready=500")
    own = argv("engines.main.args={distributed_timeout_seconds: 60}")
    assert re.findall(r"--distributed[-_]timeout[-_]seconds \d+", own) == [
        "--distributed-timeout-seconds 60"
    ]
