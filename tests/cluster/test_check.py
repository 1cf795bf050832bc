"""dsr1 check and plan over SSH: both ask the hosts."""

import pytest
from tests.answers import data_of
from tests.built import MODEL, RUNTIME
from tests.cluster.login import Login

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]
CHECK = (
    "check",
    "tiny",
    "--venv",
    str(RUNTIME),
    "--model",
    str(MODEL),
    "--hosts",
    "node1,node2",
    "--json",
)


def verdicts(told: str) -> dict[tuple[str, str], str]:
    return {(finding["check"], finding["host"]): finding["verdict"] for finding in data_of(told)}


def test_hosts_are_judged_each_and_together(login: Login) -> None:
    done = login.dsr1(*CHECK)
    assert done.returncode == 0, done.stderr
    found = verdicts(done.stdout)
    assert {
        found["sys.clock", "node1"],
        found["sw.versions", "node1"],
        found["sw.versions", "node2"],
    } == {"PASS"}
    assert found["gpu.count", "node2"] == "SKIP"


def test_a_host_that_is_down_is_a_finding_among_others(login: Login) -> None:
    login.cluster.crash("node2")
    done = login.dsr1(*CHECK)
    found = verdicts(done.stdout)
    assert done.returncode == 3
    assert (found["host.reach", "node2"], found["sys.clock", "node1"]) == ("FAIL", "PASS")


def test_a_plan_is_made_of_what_the_hosts_tell(login: Login) -> None:
    login.cluster.crash("node2")
    done = login.dsr1("plan", *CHECK[1:])
    plan = data_of(done.stdout)
    assert "no facts: node2" in done.stderr
    assert [note for note in plan["notes"] if note.startswith("node2: planned without facts")]
    env = {
        host["host"]: {v["name"]: v["value"] for v in host["processes"][-1]["env"]}
        for host in plan["hosts"]
    }
    assert env["node1"]["GLOO_SOCKET_IFNAME"]
    assert "GLOO_SOCKET_IFNAME" not in env["node2"]
