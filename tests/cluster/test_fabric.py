"""Every way between hosts measured by real torch.distributed; one that is slow; an end at any
moment."""

import signal

import pytest
from tests.answers import data_of
from tests.built import MODEL, RUNTIME
from tests.cluster.conftest import Clusters
from tests.cluster.hosts import Cluster
from tests.cluster.login import DSR1, Login
from tests.waiting import HANGS_S, until

pytestmark = [pytest.mark.cluster, pytest.mark.e2e, pytest.mark.heavy]
CHECK = (
    "check",
    "tiny",
    "--venv",
    str(RUNTIME),
    "--model",
    str(MODEL),
    "--only",
    "net.fabric",
    "--all",
)
NAMES = ("node1", "node2", "node3")


def slow(cluster: Cluster, box: str, to: str) -> None:
    """What this host sends to that one has 5 Mb/s, and all else what it had."""
    script = f"""tc qdisc add dev eth0 root handle 1: htb default 1
tc class add dev eth0 parent 1: classid 1:1 htb rate 40gbit
tc class add dev eth0 parent 1: classid 1:2 htb rate 5mbit
tc filter add dev eth0 parent 1: protocol ip u32 match ip dst {cluster.boxes[to].address}/32 flowid 1:2"""
    done = cluster.run(box, ("sh", "-ec", script), user="root")
    if "is unknown" in done.stderr or "talking to the kernel" in done.stderr:
        pytest.skip(f"needs htb and u32 in the kernel: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr


def ranks(cluster: Cluster) -> list[str]:
    """Hosts where one runs, or what keeps it."""
    running = {name: cluster.processes(name, "launch") for name in NAMES}
    return [
        name
        for name, found in running.items()
        if any("torch.distributed" in line for _, line in found)
    ]


def test_the_slow_way_is_named(runtime: None, make_cluster: Clusters) -> None:
    login = Login(make_cluster(*NAMES))
    slow(login.cluster, "node2", "node3")
    done = login.dsr1(*CHECK, "--set", "engines.main.nodes=3", "--hosts", "node[1-3]", "--json")
    assert done.returncode == 3, done.stderr
    failed = {one["host"]: one["seen"] for one in data_of(done.stdout) if one["verdict"] == "FAIL"}
    assert "to node3: " in failed["node2"], done.stdout  # a busy machine may make others slow, too
    assert ranks(login.cluster) == []


def test_ctrl_c_and_a_lost_connection_leave_nothing(runtime: None, make_cluster: Clusters) -> None:
    login = Login(make_cluster(*NAMES))
    began = login.begin(*CHECK, "--hosts", "node[1-3]")
    until(lambda: len(ranks(login.cluster)) == 3)
    (pid,) = [
        pid for pid, line in login.cluster.processes("login", "launch") if line.startswith(DSR1[0])
    ]
    assert login.cluster.run("login", ("kill", "-INT", str(pid))).returncode == 0
    _, said = began.communicate(timeout=HANGS_S)
    assert (began.returncode, "interrupted" in said, "Traceback" in said) == (4, True, False)
    until(lambda: ranks(login.cluster) == [])
    again = login.begin(*CHECK, "--hosts", "node[1-3]")
    until(lambda: len(ranks(login.cluster)) == 3)
    again.send_signal(signal.SIGKILL)  # its process dies with it: nobody says good-bye
    again.communicate(timeout=HANGS_S)
    until(lambda: ranks(login.cluster) == [])
