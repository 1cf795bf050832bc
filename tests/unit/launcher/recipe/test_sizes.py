"""Sizes that contradict each other are refused before anything starts, with both numbers and a way
out."""

import re
from collections.abc import Sequence
from itertools import permutations

import pytest

from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.host import Host, this_machine
from dsr1.launcher.layout.placement import make_topology, wanted_nodes
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
            r"needs 5 hosts of 8 GPUs \(prefill 2 x 8, decode 3 x 8\); 4 are given",
        ),
        (
            "engines.decode.ranks_per_node=9",
            "engines.decode: takes 9 GPUs of each of its hosts; none of those given has more than 8",
        ),
        (
            "engines.decode.replicas=2",
            r"needs 6 hosts of 8 GPUs \(prefill 2 x 8, decode 4 x 8\); 4 are given",
        ),
        ("engines.decode.role=aggregated", "role prefill without role decode can't serve"),
        (
            "engines.decode.kv_transfer={kv_role: kv_both}",
            "a mapping is vLLM's own and names kv_connector",
        ),
        ("engines.decode.kv_transfer=mooncake", "kv_transfer: .*'nixl', 'lmcache' or 'kvbm'"),
        ("engines.prefill.layout=headless", "nobody reads those of a headless node"),
        ("stack=vllm", "prefill and decode apart need stack dynamo"),
        ("engines.decode.max_num_seqs=0", "more than 0"),
        ("frontend.replicas=0", "more than 0"),
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


POOLS = (
    "short: {role: prefill, nodes: 1, replicas: 2, ranks_per_node: 4}",
    "long: {role: prefill, nodes: 1, ranks_per_node: 8}",
    "decode: {role: decode, nodes: 1, ranks_per_node: 8}",
)


def laid_out(engines: Sequence[str], hosts: Sequence[Host]) -> dict[str, list[tuple[str, int]]]:
    text = f"name: t\nmodel: {{path: /m}}\nengines: {{{', '.join(engines)}}}"
    topology = make_topology(parse_recipe(text, "t.yaml"), hosts)
    return {
        group.name: [(node.host.name, node.devices[0]) for node in group.nodes]
        for group in topology.groups
    }


@pytest.mark.parametrize("engines", list(permutations(POOLS)))
def test_where_engines_go_does_not_depend_on_their_order(engines: tuple[str, ...]) -> None:
    assert laid_out(engines, FOUR[:3]) == {
        "long": [("a", 0)],
        "decode": [("b", 0)],
        "short-r0": [("c", 0)],
        "short-r1": [("c", 4)],
    }
    assert laid_out(engines, FOUR)["short-r1"] == [("d", 0)]


ODD = [
    f"e{n}: {{nodes: 1, ranks_per_node: {size}}}" for n, size in enumerate((3, 3, 2, 2, 2, 2, 2))
]


@pytest.mark.parametrize("engines", [ODD, ODD[::-1], ODD[3:] + ODD[:3]])
def test_hosts_are_packed_where_spreading_does_not_fit(engines: list[str]) -> None:
    assert {host for ((host, _),) in laid_out(engines, FOUR[:2]).values()} == {"a", "b"}


@pytest.mark.parametrize(
    "engines", list(permutations(("a: {nodes: all}", POOLS[0].replace("prefill", "aggregated"))))
)
def test_an_engine_on_all_hosts_gets_those_that_packing_leaves(engines: tuple[str, ...]) -> None:
    found = laid_out(engines, FOUR[:2])
    assert (found["short-r1"], found["a"]) == ([("a", 4)], [("b", 0)])


@pytest.mark.parametrize(
    ("engines", "hosts", "wanted"),
    [
        (POOLS, FOUR[:2], "needs 3 hosts of 8 GPUs (short 2 x 4, long 1 x 8, decode 1 x 8); 2 are"),
        (POOLS, FOUR[:1], "1 is given"),
        (POOLS, this_machine(3, 8), "1 machine is given"),
        (
            POOLS,
            (*FOUR[:2], Host("c", "c", gpus=4)),
            "needs 3 hosts of 8 GPUs (short 2 x 4, long 1 x 8, decode 1 x 8); 3 are given, of"
            " which c has 4",
        ),
        (
            POOLS,
            (Host("c", "c", gpus=4),),
            "long: takes 8 GPUs of each of its hosts; none of those",
        ),
    ],
)
def test_a_refusal_says_what_would_do(
    engines: tuple[str, ...], hosts: Sequence[Host], wanted: str
) -> None:
    with pytest.raises(InputError, match=re.escape(wanted)):
        laid_out(engines, hosts)
