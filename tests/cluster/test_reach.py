"""Hosts that reach each other over TCP, and a firewall in one direction that is named."""

import pytest
from tests.answers import data_of
from tests.built import MODEL, RUNTIME
from tests.cluster.conftest import Clusters
from tests.cluster.hosts import Cluster
from tests.cluster.login import MOCKER, Login, assert_clean

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]
CHECK = (
    "check",
    "tiny",
    "--venv",
    str(RUNTIME),
    "--model",
    str(MODEL),
    "--only",
    "net.reach",
    "--set",
    "stack=mocker",
)


def swallow(cluster: Cluster, box: str, to: str) -> None:
    """What this host sends to the other's ports of a plan goes nowhere; its answers from there
    still pass."""
    address = cluster.boxes[to].address
    script = f"""ip link add nowhere type veth peer name nobody; ip link set nowhere up; ip link set nobody up
ip neigh add {address} lladdr 02:00:00:00:00:01 dev nowhere; ip route add default dev nowhere table 77
ip rule add to {address} ipproto tcp dport 20000-20999 lookup 77 priority 10"""
    done = cluster.run(box, ("sh", "-ec", script), user="root")
    assert done.returncode == 0, done.stderr


def nodes(count: int) -> tuple[str, str]:
    return ("--set", f"engines.main.nodes={count}")


def seen(login: Login, hosts: str, count: int) -> dict[str, tuple[str, str]]:
    done = login.dsr1(*CHECK, *nodes(count), "--hosts", hosts, "--json", "--all")
    return {one["host"]: (one["verdict"], one["seen"]) for one in data_of(done.stdout)}


def listens(cluster: Cluster, box: str) -> list[str]:
    """Ports of a plan that something listens on (0A), whoever it is."""
    lines = cluster.run(box, ("cat", "/proc/net/tcp")).stdout.splitlines()[1:]
    ports = (line.split()[1].rpartition(":")[2] for line in lines if line.split()[3] == "0A")
    return [port for port in ports if 20000 <= int(port, 16) < 21000]


def test_a_firewall_is_named_by_host_and_direction(runtime: None, make_cluster: Clusters) -> None:
    login = Login(make_cluster("node1", "node2", "node3", "node4"))
    names = "node[1-4]"
    assert set(seen(login, names, 4).items()) == {
        (f"node{n}", ("PASS", "both ways")) for n in (2, 3, 4)
    }
    swallow(login.cluster, "node3", "node1")
    swallow(login.cluster, "node1", "node4")
    found = seen(login, names, 4)
    assert found["node2"] == ("PASS", "both ways")
    assert found["node3"] == ("FAIL", "does not reach node1 (10.77.0.2): no answer in 3 s")
    assert found["node4"] == ("FAIL", "is not reached by node1: no answer in 3 s")
    assert [listens(login.cluster, f"node{n}") for n in range(1, 5)] == [[], [], [], []]
    refused = login.launch("f", names, *MOCKER, *nodes(4))
    assert refused.returncode == 3
    assert "node3: net.reach: does not reach node1" in refused.stderr
    assert_clean(login.cluster, "node1", "node2", "node3", "node4")
    assert login.launch("f", "node1,node2", *MOCKER).returncode == 0
    assert seen(login, "node1,node2", 2)["node2"][0] == "UNKNOWN"  # its port is the run's
    assert login.dsr1("stop", "f").returncode == 0
