"""The model's files on hosts over SSH."""

import json
from pathlib import Path

import pytest
from tests.cluster.hosts import Cluster
from tests.cluster.login import Login
from tests.unit.hosts.test_model import FIRST, make_model

pytestmark = pytest.mark.cluster


def give_model(cluster: Cluster, host: str, folder: str = "/tmp/R1") -> Path:
    """A whole model on one host, its user's."""
    made = make_model(cluster.path(host, folder))
    for path in (made, *made.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return made


def test_hosts_whose_models_differ_are_told_by_file(cluster: Cluster) -> None:
    """python3 of the hosts is enough: nothing is installed there."""
    for host in ("node1", "node2"):
        give_model(cluster, host)
    login = Login(cluster)
    verify = ("model", "verify", "/tmp/R1", "--hosts", "node1,node2", "--json", "--deep")
    whole = login.dsr1(*verify)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    shard = cluster.path("node2", f"/tmp/R1/{FIRST}")
    shard.write_bytes(shard.read_bytes()[:-1] + b"\2")
    changed = login.dsr1(*verify)
    (failed,) = [found for found in json.loads(changed.stdout) if found["verdict"] == "FAIL"]
    assert (changed.returncode, failed["check"], FIRST in failed["seen"]) == (3, "model.same", True)


def test_a_model_at_another_path_is_told_of_its_host(cluster: Cluster) -> None:
    give_model(cluster, "node1")
    done = Login(cluster).dsr1("model", "verify", "/tmp/R1", "--hosts", "node1,node2", "--json")
    failed = {(found["host"], found["seen"]) for found in json.loads(done.stdout) if found["verdict"] == "FAIL"}
    assert (done.returncode, failed) == (3, {("node2", "/tmp/R1: No such file or directory")})
