"""Sizes that contradict each other are refused before anything starts, with both numbers and a way
out."""

import pytest

from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.host import Host
from dsr1.launcher.layout.topology import wanted_nodes
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.recipe.load import load_recipe, parse_recipe

FOUR = tuple(Host(name, f"10.0.0.{n}", "eth0") for n, name in enumerate("abcd", 1))


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        (
            "engines.decode.eplb.num_redundant_experts=30",
            "256 experts and 30 .* 16 ranks; 16 or 32 can",
        ),
        (
            "engines.prefill.max_num_seqs=9000",
            r"engines.prefill: max_num_batched_tokens is 8192, .*\(9000\)",
        ),
        (
            "engines.decode.max_num_batched_tokens=20000",
            "queue of 40002, and an adapter's queue holds 32768",
        ),
        (
            "engines.decode.env={NVSHMEM_QP_DEPTH: 700}",
            "384 batched .* NVSHMEM_QP_DEPTH is 700; .* may be 349",
        ),
        (
            "engines.prefill.args={enable-chunked-prefill: false}",
            r"must reach max_model_len \(16384\)",
        ),
        (
            "engines.decode.all2all_backend=null",
            "dbo needs all2all_backend deepep_low_latency, nixl_ep",
        ),
        ("engines.decode.expert_parallel=false", "eplb needs expert_parallel: true"),
        (
            "engines.decode.nodes=3",
            r"engines.decode.nodes: wants 3 hosts with 8 free GPUs each, 4 are given \(GPUs",
        ),
        ("engines.decode.ranks_per_node=9", "9 free GPUs each"),
        (
            "engines.decode.replicas=2",
            r"engines.decode.nodes: wants 2 hosts .* \(GPUs free: a 0, b 0, c 0, d 0\)",
        ),
        ("engines.decode.role=aggregated", "role prefill without role decode can't serve"),
        (
            "engines.decode.kv_transfer={kv_role: kv_both}",
            "a mapping is vLLM's own and names kv_connector",
        ),
        ("engines.decode.kv_transfer=mooncake", "kv_transfer: .*'nixl', 'lmcache' or 'kvbm'"),
        ("engines.prefill.layout=headless", "nobody reads those of a headless node"),
        ("stack=vllm", "prefill and decode apart need stack dynamo"),
        ("engines.decode.max_num_seqs=0", "greater than 0"),
        ("frontend.replicas=0", "greater than 0"),
    ],
)
def test_what_contradicts_is_refused(setting: str, wanted: str) -> None:
    with pytest.raises(InputError, match=wanted):
        make_plan(load_recipe("dsr1-disagg-h200", [setting]), FOUR, "r", "/run/r")


def test_one_rank_has_nothing_to_balance() -> None:
    settings = [
        f"engines.{name}.{key}=1"
        for name in ("prefill", "decode")
        for key in ("nodes", "ranks_per_node")
    ]
    with pytest.raises(InputError, match="has one rank, and nothing to balance"):
        make_plan(load_recipe("dsr1-disagg-h200", settings), FOUR, "r", "/run/r")


def test_a_distilled_model_has_no_experts() -> None:
    settings = ["model={path: deepseek-ai/DeepSeek-R1-Distill-Llama-8B}"]
    assert load_recipe("dsr1-dep", settings).model.routed_experts is None


@pytest.mark.parametrize(
    ("engines", "hosts"),
    [
        (
            (
                "p: {role: prefill, nodes: 2, ranks_per_node: 4}, d: {role: decode, nodes: 2,"
                " ranks_per_node: 4}"
            ),
            2,
        ),
        (
            (
                "p: {role: prefill, nodes: 2, ranks_per_node: 5}, d: {role: decode, nodes: 2,"
                " ranks_per_node: 4}"
            ),
            4,
        ),
        (
            (
                "p: {role: prefill, nodes: 3, ranks_per_node: 3}, d: {role: decode, ranks_per_node:"
                " 3, nodes: 2}"
            ),
            3,
        ),
        ("p: {role: prefill, nodes: 1, ranks_per_node: 1}, d: {role: decode, replicas: 2}", 3),
        ("m: {role: aggregated, nodes: 2, replicas: 512, ranks_per_node: 5}", 1024),
    ],
)
def test_the_fewest_hosts_that_hold_all_engines(engines: str, hosts: int) -> None:
    assert (
        wanted_nodes(
            parse_recipe(f"name: t\nmodel: {{path: /m}}\nengines: {{{engines}}}", "t.yaml")
        )
        == hosts
    )
