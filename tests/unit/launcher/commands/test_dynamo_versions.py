"""What is generated for the Dynamo that is installed."""

import pytest

from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.facts.fact import Fact
from dsr1.launcher.plan.plan import Plan, make_plan
from dsr1.launcher.recipe.load import load_recipe

HERE = Host("localhost", "127.0.0.1")


def plan_for(dynamo: str, *hosts: Host) -> Plan:
    facts = {host.name: {"runtime": Fact({"dynamo": dynamo}, "asked")} for host in hosts}
    recipe = load_recipe(
        "tiny",
        [
            f"engines.main={{nodes: {len(hosts)}}}",
            "stack=mocker",
            "model.path=/m",
            "runtime.venv=/v",
        ],
    )
    return make_plan(recipe, hosts, "r", "/runs/r", facts)


def variables(plan: Plan, process: str) -> dict[str, str]:
    (found,) = (one for one in plan.processes if one.name == process)
    return {variable.name: variable.value for variable in found.env}


@pytest.mark.parametrize("version", ["1.3.1", "1.4.2", "1.5.0"])
def test_before_1_6_the_response_stream_wants_an_interface(version: str) -> None:
    here = variables(plan_for(version, HERE), "main-0")
    assert here["DYN_TCP_RESPONSE_STREAM_HOST"] == "lo"
    assert "DYN_EVENT_PLANE_HOST" not in here
    hosts = Host("a", "10.0.0.1", interface="ens3"), Host("b", "10.0.0.2", interface="ens4")
    there = variables(plan_for(version, *hosts), "main-1")
    assert there["DYN_TCP_RESPONSE_STREAM_HOST"] == "ens4"
    assert there["DYN_TCP_RPC_HOST"] == "10.0.0.2"


@pytest.mark.parametrize("version", ["1.6.0", "1.6.1", "1.10.0", "", "unknown"])
def test_later_ones_take_an_address(version: str) -> None:
    here = variables(plan_for(version, HERE), "main-0")
    assert here["DYN_TCP_RESPONSE_STREAM_HOST"] == here["DYN_EVENT_PLANE_HOST"] == "127.0.0.1"


def test_one_host_gets_etcd_where_file_discovery_loses_registrations() -> None:
    old, new = plan_for("1.3.1", HERE), plan_for("1.6.1", HERE)
    assert [process.name for process in old.processes] == ["etcd", "frontend", "main-0"]
    assert [process.name for process in new.processes] == ["frontend", "main-0"]
    assert variables(old, "main-0")["DYN_DISCOVERY_BACKEND"] == "etcd"
    assert variables(old, "main-0")["ETCD_ENDPOINTS"].startswith("http://127.0.0.1:")


# By the oldest of 1.3.1, 1.4.2, 1.5.1 and 1.6.0 in whose wheels (ai-dynamo, ai-dynamo-runtime) the
# name stands, where that isn't 1.3.1: read off them, as were all others that are generated, some as a
# prefix and a field (DYN_CANARY_ and wait_time).
KNOWN_SINCE = {
    "DYN_EVENT_PLANE_HOST": (1, 6),
    **dict.fromkeys((f"DYN_TCP_TLS_{one}" for one in ("CERT_PATH", "KEY_PATH")), (1, 5)),
    **dict.fromkeys((f"DYN_TCP_TLS_CLIENT_{one}" for one in ("CERT_PATH", "KEY_PATH")), (1, 5)),
    **dict.fromkeys(("DYN_TCP_TLS_CA_CERT_PATH", "DYN_TCP_TLS_CLIENT_CA_CERT_PATH"), (1, 5)),
    "DYN_TCP_TLS_SERVER_NAME": (1, 5),
}
IN_ALL = {
    *(f"DYN_{one}" for one in ("NAMESPACE", "REQUEST_PLANE", "EVENT_PLANE", "DISCOVERY_BACKEND")),
    *(f"DYN_{one}" for one in ("FILE_KV", "SYSTEM_HOST", "SYSTEM_PORT", "TCP_RPC_HOST")),
    *(f"DYN_TCP_{one}" for one in ("REQUEST_TIMEOUT", "RESPONSE_STREAM_HOST")),
    *(f"DYN_HEALTH_CHECK_{one}" for one in ("ENABLED", "REQUEST_TIMEOUT")),
    *("DYN_CANARY_WAIT_TIME", "DYN_SDK_DISABLE_ANSI_LOGGING", "DYN_SELF_HOST_METADATA"),
    *(f"ETCD_{one}" for one in ("ENDPOINTS", "LEASE_TTL", "AUTH_CA")),
    *(f"ETCD_AUTH_CLIENT_{one}" for one in ("CERT", "KEY")),
}


@pytest.mark.parametrize("version", [(1, 3), (1, 4), (1, 5), (1, 6)])
def test_no_variable_is_given_that_the_version_does_not_know(version: tuple[int, int]) -> None:
    """It would do nothing, and be taken for something: a certificate most of all."""
    hosts = Host("a", "10.0.0.1", interface="ens3"), Host("b", "10.0.0.2", interface="ens4")
    plan = plan_for(f"{version[0]}.{version[1]}.0", *hosts)
    processes = [process for process in plan.processes if process.name != "etcd"]
    given = {one.name for process in processes for one in process.env}
    given |= {one.name for process in processes for one in process.secrets}
    dynamos = {name for name in given if name.startswith(("DYN_", "ETCD_"))}
    newer = {name for name, since in KNOWN_SINCE.items() if since > version}
    assert dynamos - IN_ALL == set(KNOWN_SINCE) - newer
