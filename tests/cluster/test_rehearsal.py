"""R1 with prefill and decode apart on four hosts that have neither GPUs nor weights: all else is
proven there."""

import json
from typing import Any

import pytest
from tests.answers import data_of
from tests.built import RUNTIME
from tests.cluster.conftest import Clusters
from tests.cluster.login import Login, assert_clean

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]
NAMES = ("node1", "node2", "node3", "node4")


def test_r1_apart_on_four_hosts(runtime: None, make_cluster: Clusters) -> None:
    login = Login(make_cluster(*NAMES))
    site = ("--hosts", "node[1-4]", "--venv", str(RUNTIME))
    real = login.dsr1("plan", "dsr1-disagg-h200", *site, "--name", "r", "--no-facts", "--json")
    launched = login.dsr1(
        "launch",
        "dsr1-disagg-h200",
        "--rehearse",
        *site,
        "--name",
        "r",
        "--set",
        "frontend.replicas=2",
    )
    assert launched.returncode == 0, launched.stderr
    parts = [
        "decode-0",
        "decode-1",
        "etcd",
        "frontend-0",
        "frontend-1",
        "gateway",
        "prefill-0",
        "prefill-1",
    ]
    assert login.status("r")["alive"] == parts
    assert engines(json.loads(login.read("r", "plan.json"))) == engines(data_of(real.stdout))
    smoked = login.dsr1("smoke", "r", "--json")
    assert smoked.returncode == 0, smoked.stderr
    answers = data_of(smoked.stdout)["answers"]
    assert len(answers) == 16
    assert len({(answer["worker_id"], answer["rank"]) for answer in answers}) == 16
    assert len({(answer["prefill_worker_id"], answer["prefill_rank"]) for answer in answers}) == 16
    assert login.dsr1("stop", "r").returncode == 0
    assert_clean(login.cluster, *NAMES)


def engines(plan: dict[str, Any]) -> dict[str, object]:
    """Host, start and ranks of every process of an engine: the same, whatever runs in it."""
    processes = [process for host in plan["hosts"] for process in host["processes"]]
    return {p["name"]: (p["host"], p["wave"], p["ranks"]) for p in processes if p["ranks"]}
