"""Engines that fail alone, on hosts of their own: the others serve on."""

import json

import pytest
from tests.cluster.conftest import Clusters
from tests.cluster.login import MOCKER, SOON_LOST, Login, assert_clean, kill
from tests.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]
REPLICAS = ("--set", "engines.main={nodes: 1, replicas: 2}", "--set", "spares=[node3,node4]")
AGAIN = ("--set", "restart={max: 5, backoff: 0.5}")


def engine(login: Login, name: str) -> dict[str, object]:
    """Its state, as the run's supervisor has it."""
    engines = json.loads(login.read("e", "state.json"))["engines"]
    return next(one["state"] for one in engines if one["name"] == name)


def test_etcd_and_a_host_are_lost_and_what_serves_goes_on(
    runtime: None, make_cluster: Clusters
) -> None:
    login = Login(make_cluster("node1", "node2", "node3", "node4", "node5"))
    assert login.launch("e", "node1,node2", *MOCKER, *SOON_LOST, *REPLICAS, *AGAIN).returncode == 0
    kill(login.cluster, "node1", "--data-dir")
    until(lambda: engine(login, "etcd")["taken_at"] != [])
    # the frontend may end itself some seconds after etcd's death, and is restarted then
    until(lambda: login.dsr1("smoke", "e").returncode == 0)
    login.cluster.crash("node2")
    until(lambda: engine(login, "main-r1")["phase"] != "serving")
    until(lambda: login.phase("e") == "ready")
    assert engine(login, "main-r1")["hosts"] == ["node3"]
    assert login.dsr1("smoke", "e").returncode == 0
    # from the first worker that goes in order on, Dynamo's frontend (1.6.1) keeps a core busy
    taken = login.dsr1("scale", "e", "main=3", "--hosts", "+node3")
    assert (taken.returncode, "node3: is a host of e already" in taken.stderr) == (2, True)
    grown = login.dsr1("scale", "e", "main=3", "--hosts", "+node5")
    assert (grown.returncode, grown.stdout) == (0, "main-r2: added\n"), grown.stderr
    assert engine(login, "main-r2")["hosts"] == ["node5"]
    assert login.dsr1("smoke", "e").returncode == 0
    assert login.dsr1("scale", "e", "main=2").stdout == "main-r2: removed\n"
    until(lambda: "node5" not in login.read("e", "settings.json").partition('"replaced"')[2])
    assert_clean(login.cluster, "node5")
    refused = login.dsr1("drain", "e", "node1")
    assert (refused.returncode, "has etcd, frontend" in refused.stderr) == (2, True)
    drained = login.dsr1("drain", "e", "node3")
    assert (drained.returncode, drained.stderr) == (0, "")
    assert engine(login, "main-r1")["hosts"] == ["node4"]
    assert_clean(login.cluster, "node3")
    assert login.dsr1("smoke", "e").returncode == 0
    stopped = login.dsr1("stop", "e")
    assert (stopped.returncode, "node2" in stopped.stderr) == (4, True)
    assert "node3" not in stopped.stderr
    assert_clean(login.cluster, "node1", "node3", "node4")
