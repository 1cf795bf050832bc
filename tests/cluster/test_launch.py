"""A deployment over SSH on hosts of their own, from launch to stop, and what is refused before
anything starts."""

import json
from typing import Any

import pytest
from tests.answers import data_of
from tests.built import MODEL, RUNTIME
from tests.cluster.conftest import Clusters
from tests.cluster.login import MOCKER, Login, assert_clean
from tests.docs.blocks import ROOT, shell_blocks

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]


def test_the_walk_to_the_first_token(login: Login) -> None:
    """docs/first-token.md, line by line. These hosts have no GPUs: `init` calls their set `hosts`,
    and finds the venv where many keep theirs."""
    for node in ("node1", "node2"):
        assert login.cluster.run(node, ("ln", "-sfn", str(RUNTIME), "vllm")).returncode == 0
    tiny = f"tiny --on hosts --venv {RUNTIME} --model {MODEL} {' '.join(MOCKER)}"
    told = {}
    for line in walked_lines():
        done = login.shell(line.replace("dsr1-dep --on h100", tiny))
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        told[line.split()[1]] = done.stdout
        if "--name" in line:
            assert login.status("r1")["alive"] == ["etcd", "frontend", "main-0", "main-1"]
            lines = login.dsr1("logs", "r1").stdout.splitlines()
            assert {one.split(":")[0] for one in lines} >= {"etcd", "frontend", "main-0", "main-1"}
    assert "r1: passed: 2 ranks" in told["smoke"]
    assert json.loads(told["-s"])["data"][0]["id"] == "tiny"
    site = login.cluster.run("login", ("sh", "-c", "cat ~/.config/dsr1/site.yaml")).stdout
    assert ("hosts: node1,node2" in site, "venv: /home/launch/vllm" in site) == (True, True), site
    assert login.cluster.run("login", ("rm", "-r", ".config/dsr1")).returncode == 0
    assert_clean(login.cluster, "node1", "node2")


def walked_lines() -> list[str]:
    page = ROOT / "docs" / "first-token.md"
    walked = [one.text for one in shell_blocks(page) if one.mark.startswith("run by")]
    return [line for text in walked for line in text.splitlines()]


def event_ports(plan: dict[str, Any]) -> set[int]:
    """Where vLLM would publish them if it did so by TCP: a port a rank."""
    argvs = [process["argv"] for host in plan["hosts"] for process in host["processes"]]
    configs = [
        argv[argv.index("--kv-events-config") + 1] for argv in argvs if "--kv-events-config" in argv
    ]
    firsts = {int(json.loads(config)["endpoint"].rpartition(":")[2]) for config in configs}
    assert firsts
    return {first + rank for first in firsts for rank in range(4)}


def assert_nobody_else_controls_it(login: Login) -> None:
    """The routes are there, and neither another host nor another address of its own leads to them;
    what the engines publish of prompts is a socket in a closed folder."""
    plan = json.loads(login.read("v", "plan.json"))
    (worker, *_) = plan["service"]["workers"]
    host, _, port = worker["metrics_url"].removesuffix("/metrics").rpartition(":")
    assert host == "http://127.0.0.1"
    route = ("curl", "-sS", "-m", "10", "-X", "POST", "-d", "{}", "-o", "/dev/null", "-w")
    control = "engine/control/ep_capacity"
    here = login.cluster.run("node1", (*route, "%{http_code}", f"{host}:{port}/{control}"))
    assert here.stdout not in ("", "000", "404"), here
    for box, user in (("login", "launch"), ("node2", "other"), ("node1", "other")):
        url = f"http://10.77.0.2:{port}/{control}"
        said = login.cluster.run(box, (*route, "%{http_code}", url), user=user)
        assert said.returncode == 7, (box, said)  # curl(1): nobody listens there
    doors = data_of(login.dsr1("status", "v", "--ports", "--json").stdout)
    listening = {door["port"] for told in doors.values() for door in told if door["everywhere"]}
    assert listening.isdisjoint(event_ports(plan)), doors
    assert login.cluster.run("node1", ("sh", "-c", "ls /tmp/dsr1-2000/v/*/kv-events*")).stdout
    peek = ("ls", "/tmp/dsr1-2000/v")
    assert login.cluster.run("node1", peek, user="other").returncode != 0


@pytest.mark.heavy
def test_real_vllm_and_its_caches_go_to_hosts_that_lack_them(login: Login) -> None:
    """A process a host, of two ranks each. Both hosts see this machine's /tmp apart: what one start
    leaves on them is removed, and brought back.
    """
    real = ("--set", "engines.main.ranks_per_node=2", "--set", "runtime.cache_dir=/tmp/jit")
    events = ("--set", "engines.main.kv_events=true", "--set", "frontend.router_mode=kv")
    launched = login.launch("v", "node[1-2]", *real, *events)
    assert launched.returncode == 0, launched.stderr
    assert_nobody_else_controls_it(login)
    smoked = login.dsr1("smoke", "v", "--json")
    assert smoked.returncode == 0, smoked.stderr
    assert [answer["rank"] for answer in data_of(smoked.stdout)["answers"]] == [0, 1, 2, 3]
    assert login.dsr1("stop", "v").returncode == 0
    assert_clean(login.cluster, "node1", "node2")
    (kept,) = data_of(login.dsr1("cache", "ls", "--json").stdout)
    assert (
        login.dsr1(
            "cache", "prune", kept["key"], "--root", "/tmp/jit", "--hosts", "node2"
        ).returncode
        == 0
    )
    assert login.dsr1("cache", "push", "--hosts", "node[1-2]").returncode == 0
    held = data_of(
        login.dsr1("cache", "ls", "--root", "/tmp/jit", "--hosts", "node[1-2]", "--json").stdout
    )
    same = (kept["key"], kept["digest"])
    assert {host: (one["key"], one["digest"]) for host, (one,) in held.items()} == {
        "node1": same,
        "node2": same,
    }


def test_a_second_launch_on_the_same_hosts_names_the_first(login: Login) -> None:
    assert login.launch("first", "node1,node2", *MOCKER).returncode == 0
    second = login.launch("second", "node1,node2", *MOCKER)
    assert second.returncode == 3
    assert "by run first" in second.stderr  # that listens there, or has reserved it
    assert login.dsr1("smoke", "first").returncode == 0
    assert login.dsr1("stop", "first").returncode == 0


def test_one_machine_under_two_names(login: Login) -> None:
    address = login.cluster.run("login", ("getent", "hosts", "node1")).stdout.split()[0]
    refused = login.launch("t", f"node1,{address}", *MOCKER, "--accept-new-keys")
    assert (refused.returncode, "are one machine" in refused.stderr) == (2, True)


def test_a_host_whose_own_name_is_127(runtime: None, make_cluster: Clusters) -> None:
    login = Login(make_cluster("node1", "node2", loopback_names=("node1", "node2")))
    login.launch_to_end("l", "node1,node2", *MOCKER)


def test_exec_folds_and_tells_who_was_not_reached(login: Login) -> None:
    login.cluster.stop_sshd("node2")
    said = login.dsr1("exec", "--hosts", "node[1-2]", "--", "printf", "%s", "a b;$(id)")
    assert said.returncode == 4
    assert "--- node1\na b;$(id)" in said.stdout
    assert "--- node2 (not run)" in said.stdout


INVENTORY = """
defaults: {key: ~/keys/own key, labels: {rack: "7; touch /tmp/pwned"}}
hosts:
  head: {address: node1, port: 22, control_address: ADDRESS}
  far: {address: node2, jump: node1}
"""
CONFIG = """
Host one
  HostName node1
Host two
  HostName node2
  ProxyJump one
Host *
  IdentityFile "~/keys/own key"
"""


@pytest.fixture
def elsewhere(login: Login) -> Login:
    """The key is not where SSH would look."""
    moved = 'mkdir -p ~/keys; mv ~/.ssh/id_ed25519 "$HOME/keys/own key"; rm ~/.ssh/id_ed25519.pub'
    assert login.cluster.run("login", ("sh", "-c", moved)).returncode == 0
    return login


def test_an_inventory_with_a_jump_host(elsewhere: Login) -> None:
    address = elsewhere.cluster.boxes["node1"].address
    elsewhere.write("inventory.yaml", INVENTORY.replace("ADDRESS", address))
    elsewhere.write(".ssh/config", 'Host node1\n  IdentityFile "~/keys/own key"\n')
    elsewhere.launch_to_end("inv", "@inventory.yaml", *MOCKER)
    assert not elsewhere.cluster.path("node1", "/tmp/pwned").exists()
    assert_clean(elsewhere.cluster, "node1", "node2")


def test_the_users_own_ssh_config(elsewhere: Login) -> None:
    elsewhere.write(".ssh/config", CONFIG)
    elsewhere.launch_to_end("conf", "one,two", *MOCKER)
    assert_clean(elsewhere.cluster, "node1", "node2")


def test_a_broken_ssh_config(login: Login) -> None:
    login.write(".ssh/config", "Host node1\n  Port\nMatch nonsense x\n")
    refused = login.launch("broken", "node1,node2", *MOCKER)
    assert refused.returncode == 2
    assert ".ssh/config" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_from_another_machine_with_the_run_directory(login: Login) -> None:
    """Another login: another state folder, the run's copied into it."""
    assert login.launch("away", "node1,node2", *MOCKER).returncode == 0
    copied = (
        "cd; mkdir -p away/runs && cp -r .local/state/dsr1/runs/away away/runs/ && rm"
        " away/runs/away/supervisor.json"
    )
    assert login.cluster.run("login", ("sh", "-c", copied)).returncode == 0
    there = Login(login.cluster, {"DSR1_STATE_DIR": "/home/launch/away"})
    assert there.status("away")["alive"] == ["etcd", "frontend", "main-0", "main-1"]
    assert there.dsr1("smoke", "away").returncode == 0
    assert "main-1" in there.dsr1("logs", "away").stdout
    assert there.dsr1("stop", "away").returncode == 0
    assert_clean(login.cluster, "node1", "node2")


@pytest.mark.parametrize(
    "hosts",
    ["", " ", ",", "node1,node1", "node[1-", "a b", "-oProxyCommand=id", "no;de", "@none.txt"],
)
def test_hosts_that_are_none(login: Login, hosts: str) -> None:
    refused = login.launch("none", hosts, *MOCKER)
    assert (refused.returncode, "Traceback" in refused.stderr) == (2, False)
    assert "--hosts" in refused.stderr
