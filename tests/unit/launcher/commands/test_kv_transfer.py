"""KV transfer and events as vLLM's own JSON, by role; no port is offset by dsr1."""

import json

import pytest

from dsr1.hosts.inventory.host import Host
from dsr1.launcher.commands.kv_transfer import transfer_config
from dsr1.launcher.plan.plan import Plan, make_plan
from dsr1.launcher.recipe.engine import Engine
from dsr1.launcher.recipe.load import load_recipe

FOUR = tuple(Host(name, f"10.0.0.{n}", "eth0") for n, name in enumerate("abcd", 1))
NIXL = {"aggregated": "kv_both", "prefill": "kv_producer", "decode": "kv_consumer"}


def engine(role: str, transfer: object) -> Engine:
    return Engine.model_validate({"role": role, "kv_transfer": transfer})


@pytest.mark.parametrize("role", NIXL)
def test_nixl_by_role(role: str) -> None:
    assert transfer_config(engine(role, "nixl")) == {
        "kv_connector": "NixlConnector",
        "kv_role": NIXL[role],
    }


def test_apart_without_a_word_is_nixl_and_aggregated_is_nothing() -> None:
    assert transfer_config(engine("decode", None)) == transfer_config(engine("decode", "nixl"))
    assert transfer_config(engine("aggregated", None)) is None


@pytest.mark.parametrize(
    ("name", "connector"), [("lmcache", "LMCacheConnectorV1"), ("kvbm", "DynamoConnector")]
)
def test_a_cache_lies_before_nixl_in_prefill_alone(name: str, connector: str) -> None:
    prefill, decode, whole = (
        transfer_config(engine(role, name)) for role in ("prefill", "decode", "aggregated")
    )
    assert prefill is not None
    inner = prefill["kv_connector_extra_config"]["connectors"]
    assert [part["kv_connector"] for part in inner] == [connector, "NixlConnector"]
    assert decode == {"kv_connector": "NixlConnector", "kv_role": "kv_consumer"}
    assert whole is not None
    assert (whole["kv_connector"], whole["kv_role"]) == (connector, "kv_both")


def test_a_raw_configuration_is_passed_on() -> None:
    raw = {
        "kv_connector": "MooncakeConnector",
        "kv_connector_extra_config": {"a b": "';id", "x": [1, None]},
    }
    assert transfer_config(engine("prefill", raw)) == {"kv_role": "kv_producer", **raw}
    assert transfer_config(engine("prefill", {**raw, "kv_role": "kv_both"})) == {
        **raw,
        "kv_role": "kv_both",
    }


def value(plan: Plan, process: str, flag: str) -> dict[str, object]:
    argv = next(p.argv for p in plan.processes if p.name == process)
    found: dict[str, object] = json.loads(argv[argv.index(flag) + 1])
    return found


def env(plan: Plan, process: str) -> dict[str, str]:
    return {v.name: v.value for p in plan.processes if p.name == process for v in p.env}


def test_every_rank_of_an_engine_has_the_same_base() -> None:
    """vLLM adds the global DP index itself, so what is reserved is base + rank."""
    plan = make_plan(load_recipe("dsr1-disagg-h200"), FOUR, "r", "/run/r")
    ports = {p.name: p.ports for p in plan.processes}
    events = value(plan, "prefill-0", "--kv-events-config")
    assert events == value(plan, "prefill-1", "--kv-events-config")
    assert events == {
        "enable_kv_cache_events": True,
        "publisher": "zmq",
        "endpoint": "ipc://kv-events-as-by-tcp:20011",
    }
    assert set(range(20011, 20019)) <= set(ports["prefill-0"])
    assert set(range(20019, 20027)) <= set(ports["prefill-1"])
    sides = {
        name: env(plan, name)["VLLM_NIXL_SIDE_CHANNEL_PORT"]
        for name in ports
        if name[-2:] in ("-0", "-1")
    }
    assert (sides["prefill-0"], sides["decode-0"]) == (sides["prefill-1"], sides["decode-1"])
    assert sides["prefill-0"] != sides["decode-0"]
    hosts = {name: env(plan, name)["VLLM_NIXL_SIDE_CHANNEL_HOST"] for name in sides}
    assert hosts["decode-1"] == "10.0.0.4"


def test_a_router_that_nobody_tells_anything_is_told_so() -> None:
    silent = make_plan(
        load_recipe("dsr1-dep", ["engines.main.kv_events=false"]), FOUR, "r", "/run/r"
    )
    told = make_plan(load_recipe("dsr1-dep", ["frontend.replicas=2"]), FOUR, "r", "/run/r")
    frontends = [
        p.argv for plan in (silent, told) for p in plan.processes if p.name.startswith("frontend")
    ]
    assert ["--no-router-kv-events" in argv for argv in frontends] == [True, False, False]
    assert ["--router-replica-sync" in argv for argv in frontends] == [False, True, True]
