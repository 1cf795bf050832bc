"""Prefill and decode that couldn't hand over KV caches are refused by the plan, with both values."""

import json

import pytest

from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.host import Host
from dsr1.launcher.commands.rehearsal import rehearse
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.preflight.draft import make_draft
from dsr1.launcher.preflight.requirements import make_requirements
from dsr1.launcher.recipe.load import load_recipe

FOUR = tuple(Host(name, f"10.0.0.{n}", "eth0") for n, name in enumerate("abcd", 1))
MTP = {"speculative-config": {"method": "mtp", "num_speculative_tokens": 1}}


def loaded(prefill: dict[str, object], decode: dict[str, object]) -> None:
    settings = [
        f"engines.{name}.{key}={json.dumps(value)}"
        for name, changes in (("prefill", prefill), ("decode", decode))
        for key, value in changes.items()
    ]
    load_recipe("dsr1-disagg-h200", settings)


STORES = ("FlexKVConnectorV1", "HF3FSKVConnector", "LMCacheMPConnector", "ASitesOwnStore")


def behind(store: str) -> dict[str, object]:
    """As Dynamo's disagg_flexkv.yaml has it: a store of the prefill engine alone, before NIXL."""
    inner = [{"kv_connector": name, "kv_role": "kv_both"} for name in (store, "NixlConnector")]
    return {
        "kv_connector": "PdConnector",
        "kv_role": "kv_both",
        "kv_connector_extra_config": {"connectors": inner},
    }


@pytest.mark.parametrize(
    ("prefill", "decode", "wanted"),
    [
        ({}, {"args": {"kv-cache-dtype": "fp8"}}, "kv-cache-dtype is auto in prefill and fp8 in"),
        ({"args": {"kv-cache-dtype": "fp8"}}, {"args": {"kv-cache-dtype": "fp8_e4m3"}}, "fp8_e4m3"),
        ({"args": {"dtype": "float16"}}, {}, "dtype is float16 in prefill and bfloat16 in decode"),
        ({"args": {"block-size": 64}}, {"args": {"block-size": 128}}, "is 64 in prefill and 128"),
        ({}, {"args": {"block-size": 128}}, "block-size is auto in prefill and 128 in decode"),
        (
            {"args": {"attention-backend": "FLASHMLA"}},
            {},
            "is FLASHMLA in prefill and VLLM'S CHOICE",
        ),
        (
            {"args": {"attention-config": {"backend": "FLASHMLA"}}},
            {"args": {"attention-config.backend": "CUTLASS_MLA"}},
            "is FLASHMLA in prefill and CUTLASS_MLA in decode",
        ),
        ({}, {"args": MTP}, "speculative-config is none in prefill and method mtp in decode"),
        (
            {"args": {"speculative-config.method": "eagle", "speculative-config.model": "/a"}},
            {"args": {"speculative-config": {"method": "eagle", "model": "/b"}}},
            "model /a in prefill and method eagle, model /b in decode",
        ),
        ({"args": {"disable-hybrid-kv-cache-manager": True}}, {}, "is off in prefill and on in"),
        (
            {"kv_transfer": "lmcache", "args": {"disable-hybrid-kv-cache-manager": False}},
            {"kv_transfer": "lmcache"},
            "the hybrid KV-cache manager is on in prefill and off in decode",
        ),
        (
            {"args": {"hf-overrides": {"num_hidden_layers": 5}}},
            {},
            "num_hidden_layers 5 in prefill",
        ),
        (
            {"kv_transfer": {"kv_connector": "MooncakeConnector"}},
            {},
            "MooncakeConnector in prefill",
        ),
        (
            {"kv_transfer": {"kv_connector": "NixlPushConnector"}},
            {},
            "NixlPushConnector in prefill",
        ),
        ({"env": {"VLLM_MLA_DISABLE": "1"}}, {}, "VLLM_MLA_DISABLE is 1 in prefill and unset in"),
        (
            {"tensor_parallel_size": 2, "ranks_per_node": 2},
            {"tensor_parallel_size": 3, "ranks_per_node": 2},
            "tensor_parallel_size is 2 in prefill and 3 in decode",
        ),
    ],
)
def test_what_the_handshake_would_refuse(
    prefill: dict[str, object], decode: dict[str, object], wanted: str
) -> None:
    with pytest.raises(InputError, match=wanted):
        loaded(prefill, decode)


@pytest.mark.parametrize(
    ("prefill", "decode"),
    [
        ({}, {}),
        ({"args": {"kv-cache-dtype": "fp8"}}, {"args": {"kv-cache-dtype": "fp8"}}),
        ({"args": {"dtype": "bfloat16"}}, {"args": {"dtype": "auto"}}),
        ({"args": MTP}, {"args": {**MTP, "async-scheduling": True}}),
        ({}, {"args": {"speculative-config": {"method": "ngram", "num_speculative_tokens": 3}}}),
        ({"tensor_parallel_size": 2, "ranks_per_node": 4}, {"tensor_parallel_size": 1}),
        ({"kv_transfer": "lmcache"}, {"kv_transfer": "nixl"}),
        *(({"kv_transfer": behind(store)}, {"kv_transfer": "nixl"}) for store in STORES),
    ],
)
def test_what_agrees_is_let_through(prefill: dict[str, object], decode: dict[str, object]) -> None:
    loaded(prefill, decode)


@pytest.mark.parametrize("transfer", ["lmcache", "kvbm", "nixl"])
def test_the_hybrid_manager_is_off_on_both_sides_or_on_neither(transfer: str) -> None:
    settings = [f"engines.{name}.kv_transfer={transfer}" for name in ("prefill", "decode")]
    plan = make_plan(load_recipe("dsr1-disagg-h200", settings), FOUR, "r", "/run/r")
    off = {"--disable-hybrid-kv-cache-manager" in p.argv for p in plan.processes if p.ranks}
    assert off == {transfer != "nixl"}


def test_it_is_said_once_where_the_recipe_says_it() -> None:
    args = "args={disable-hybrid-kv-cache-manager: true}"
    settings = [f"engines.{name}.{args}" for name in ("prefill", "decode")]
    settings += ["engines.prefill.kv_transfer=kvbm"]
    plan = make_plan(load_recipe("dsr1-disagg-h200", settings), FOUR, "r", "/run/r")
    for process in plan.processes:
        assert process.argv.count("--disable-hybrid-kv-cache-manager") == bool(process.ranks)


def test_an_aggregated_engine_hands_nothing_over() -> None:
    plan = make_plan(load_recipe("dsr1-dep", ["engines.main.kv_transfer=lmcache"]), FOUR, "r", "/r")
    assert not any("--disable-hybrid-kv-cache-manager" in p.argv for p in plan.processes)


@pytest.mark.parametrize(
    ("transfer", "packages"),
    [
        ("nixl", ()),
        ("lmcache", ("lmcache", "kvbm")),
        ("kvbm", ("kvbm",)),
        (
            "{kv_connector: MultiConnector, kv_connector_extra_config: {connectors:"
            " [{kv_connector: LMCacheConnectorV1}, {kv_connector: NixlConnector}]}}",
            ("lmcache",),
        ),
        ("{kv_connector: NixlConnector}", ()),
    ],
)
def test_packages_of_connectors_are_looked_for(transfer: str, packages: tuple[str, ...]) -> None:
    """And not where the engines are simulated."""
    settings = [
        f"engines.prefill.kv_transfer={transfer}",
        "engines.prefill.ranks_per_node=1",
        "engines.prefill.eplb=null",
    ]
    recipe = load_recipe("dsr1-disagg-h200", settings)
    for one, wanted in ((recipe, packages), (rehearse(recipe), ())):
        found = make_requirements(make_draft(one, FOUR)).packages
        assert set(found) & {"lmcache", "kvbm", "nixl"} == set(wanted)
