"""What may befall a deployment over SSH: power, cables, killed processes, full disks, wrong
clocks."""

import json

import pytest
from tests.cluster.conftest import Clusters
from tests.cluster.login import (
    MOCKER,
    PATIENT_ETCD,
    SOON_LOST,
    Login,
    assert_clean,
    kill,
    launching,
    of_a_run,
)
from tests.waiting import HANGS_S, until

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]
NAMES = tuple(f"node{number}" for number in range(1, 9))


def test_power_loss_is_named_first_though_a_peer_exits_before_it_is_missed(login: Login) -> None:
    assert login.launch("p", "node1,node2", *MOCKER).returncode == 0
    login.cluster.crash("node2")
    kill(login.cluster, "node1", "dynamo.mocker")
    first = "node2 can't be reached any more; main-0 ended by signal SIGKILL"
    assert login.reason("p").startswith(first)
    assert "node2" in json.loads(login.read("p", "state.json"))["left"][0]
    assert_clean(login.cluster, "node1")


def test_a_spare_takes_the_place(runtime: None, make_cluster: Clusters) -> None:
    login = Login(make_cluster("node1", "node2", "node3"))
    again = ("--set", "spares=[node3]", "--set", "restart={max: 1, backoff: 0.1}")
    assert login.launch("s", "node1,node2", *MOCKER, *SOON_LOST, *again).returncode == 0
    assert set(json.loads(login.read("s", "facts.json"))) == {"node1", "node2", "node3"}
    login.cluster.crash("node2")
    until(lambda: (login.status("s")["restarts"], login.phase("s")) == (1, "ready"))
    assert "planned without facts" not in login.read("s", "plan.json")
    assert login.dsr1("smoke", "s").returncode == 0
    stopped = login.dsr1("stop", "s")
    assert (stopped.returncode, "node2" in stopped.stderr) == (4, True)
    assert_clean(login.cluster, "node1", "node3")


def test_short_cut_is_survived_and_a_long_one_told(login: Login) -> None:
    patient = (*PATIENT_ETCD, "--set", "timeouts.lost=30")
    assert login.launch("c", "node1,node2", *MOCKER, *patient).returncode == 0
    login.cluster.cut("node2")
    assert json.loads(login.read("c", "state.json"))["phase"] == "ready"
    login.cluster.heal("node2")
    assert login.dsr1("smoke", "c").returncode == 0
    login.cluster.cut("node2")
    until(lambda: login.phase("c") == "failed")
    assert_clean(login.cluster, "node1")
    login.cluster.heal("node2")
    assert login.dsr1("stop", "c").returncode == 0
    assert_clean(login.cluster, "node2")


def test_supervisor_killed_and_taken_over(login: Login) -> None:
    assert login.launch("k", "node1,node2", *MOCKER).returncode == 0
    pid = json.loads(login.read("k", "supervisor.json"))["pid"]
    login.cluster.run("login", ("kill", "-9", str(pid)))
    until(lambda: login.phase("k") == "unsupervised")
    assert login.status("k")["alive"] == ["etcd", "frontend", "main-0", "main-1"]
    assert login.dsr1("supervise", "k").returncode == 0
    until(lambda: login.phase("k") == "ready")
    assert login.dsr1("stop", "k").returncode == 0
    assert_clean(login.cluster, "node1", "node2")


def test_the_leaders_etcd_killed(login: Login) -> None:
    assert login.launch("e", "node1,node2", *MOCKER).returncode == 0
    kill(login.cluster, "node1", "--data-dir")
    assert login.reason("e").startswith("etcd ended by signal SIGKILL")
    cause = "node1 etcd: its main process ended by SIGKILL"
    until(lambda: f"{cause} at " in login.dsr1("status", "e").stdout)
    assert login.dsr1("why", "e").stdout.startswith(cause)
    assert_clean(login.cluster, "node1", "node2")
    packed = login.dsr1("bundle", "e", "--to", "/tmp/e.tar.gz")
    assert packed.returncode == 0, packed.stderr
    names = login.cluster.run("login", ("tar", "tzf", "/tmp/e.tar.gz")).stdout.split()
    whole = ("why.txt", "checks.json", "hosts/node2/events.jsonl", "logs/node2/main-1.log")
    assert {f"dsr1-bundle/{name}" for name in whole} <= set(names), names


def test_unreachable_hosts_are_all_named_and_nothing_starts(login: Login) -> None:
    login.cluster.stop_sshd("node2")
    refused = login.launch("u", "node1,node2,nowhere", *MOCKER)
    assert refused.returncode == 4
    assert "node2: can't be reached" in refused.stderr
    assert "nowhere: can't be reached" in refused.stderr
    assert_clean(login.cluster, "node1")


def test_rebooted_host_with_a_stale_folder(login: Login) -> None:
    patient = ("--set", "timeouts.lost=60")
    assert login.launch("b", "node1,node2", *MOCKER, *patient).returncode == 0
    login.cluster.crash("node2")
    login.cluster.boot("node2")
    assert login.reason("b").startswith("node2 is lost: it was rebooted")
    assert login.dsr1("stop", "b").returncode == 0
    login.launch_to_end("b2", "node1,node2", *MOCKER)


@pytest.mark.heavy
def test_power_loss_while_loading(login: Login) -> None:
    """Real vLLM, since the simulator is there at once; it isn't asked before, which takes as long
    as this."""
    launching_it = login.begin(*launching("pl", "node1,node2"), *SOON_LOST, "--no-check")
    until(
        lambda: any(
            "-m dynamo.vllm" in line for _, line in login.cluster.processes("node2", "launch")
        )
    )
    login.cluster.crash("node2")
    _, error = launching_it.communicate(timeout=HANGS_S)
    assert launching_it.returncode == 4
    assert "node2 is lost" in error
    assert "MAY STILL RUN: node2" in error
    assert_clean(login.cluster, "node1")


def test_sshd_stopped_and_started_again(login: Login) -> None:
    """What runs isn't touched, and its supervisor still hears of it. While that hangs, who asks
    anew is told which host he can't reach."""
    assert login.launch("d", "node1,node2", *MOCKER).returncode == 0
    login.cluster.stop_sshd("node2")
    assert login.status("d")["alive"] == ["etcd", "frontend", "main-0", "main-1"]
    pid = str(json.loads(login.read("d", "supervisor.json"))["pid"])
    login.cluster.run("login", ("kill", "-STOP", pid))
    told = json.loads(login.dsr1("status", "d", "--json").stdout)
    assert told["data"]["alive"] == ["etcd", "frontend", "main-0"]
    login.cluster.run("login", ("kill", "-CONT", pid))
    (unreached,) = told["errors"]
    assert unreached["host"] == "node2"
    assert "can't be reached" in unreached["message"]
    assert login.phase("d") == "ready"
    login.cluster.start_sshd("node2")
    assert login.dsr1("smoke", "d").returncode == 0
    assert login.dsr1("stop", "d").returncode == 0
    assert_clean(login.cluster, "node1", "node2")


def test_agent_killed(login: Login) -> None:
    assert login.launch("g", "node1,node2", *MOCKER).returncode == 0
    kill(login.cluster, "node2", " start ")
    assert login.reason("g").startswith("node2 is lost: its agent ended")
    assert_clean(login.cluster, "node1", "node2")


def test_a_process_that_hears_no_sigterm(login: Login) -> None:
    assert login.launch("i", "node1,node2", *MOCKER, "--set", "timeouts.stop=2").returncode == 0
    kill(login.cluster, "node2", "dynamo.mocker", "STOP")
    assert login.dsr1("stop", "i").returncode == 0
    assert_clean(login.cluster, "node1", "node2")


def test_one_of_eight_refuses(runtime: None, make_cluster: Clusters) -> None:
    login = Login(make_cluster(*NAMES))
    login.cluster.stop_sshd("node5")
    refused = login.launch("r", "node[1-8]", *MOCKER, "--set", "engines.main.nodes=8")
    assert refused.returncode == 4
    assert [line for line in refused.stderr.splitlines() if "can't be reached" in line] == [
        refused.stderr.strip()
    ]
    assert "node5: can't be reached" in refused.stderr
    assert_clean(login.cluster, *NAMES)


def test_a_wrong_key(login: Login) -> None:
    login.cluster.run(
        "login",
        ("sh", "-c", "rm ~/.ssh/id_ed25519*; ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519"),
    )
    refused = login.launch("w", "node1,node2", *MOCKER)
    assert refused.returncode == 4
    assert "node1: refused our keys" in refused.stderr
    assert "node2: refused our keys" in refused.stderr


def test_a_key_with_a_passphrase(login: Login) -> None:
    login.cluster.run(
        "login", ("ssh-keygen", "-q", "-p", "-N", "secret", "-f", "/home/launch/.ssh/id_ed25519")
    )
    refused = login.launch("w", "node1,node2", *MOCKER)
    assert refused.returncode == 4
    assert "node1: the key needs a passphrase; load it with ssh-add" in refused.stderr


def test_a_host_that_asks_for_a_password(login: Login) -> None:
    login.cluster.run("node2", ("rm", "/home/launch/.ssh/authorized_keys"), user="root")
    login.cluster.run(
        "node2",
        (
            "sed",
            "-i",
            "s/^PasswordAuthentication no/PasswordAuthentication yes/",
            "/etc/ssh/sshd_config",
        ),
        user="root",
    )
    login.cluster.stop_sshd("node2")
    login.cluster.start_sshd("node2")
    refused = login.launch("w", "node1,node2", *MOCKER)
    assert refused.returncode == 4
    assert "ssh-copy-id" in refused.stderr


def test_a_full_disk_on_one_host(login: Login) -> None:
    login.cluster.run("node2", ("mount", "-o", "remount,size=64k", "/tmp"), user="root")
    login.cluster.run(
        "node2", ("dd", "if=/dev/zero", "of=/tmp/fill", "bs=64k", "count=2"), user="root"
    )
    refused = login.launch("f", "node1,node2", *MOCKER)
    assert refused.returncode == 4
    assert "node2: the agent did not start" in refused.stderr
    assert "No space left on device" in refused.stderr
    assert "node2: /tmp has no room left; fix: free some space" in refused.stderr
    assert_clean(login.cluster, "node1", "node2")


def test_clocks_that_are_set(login: Login) -> None:
    """While it starts, and while it serves: nothing is late for it, no certificate is refused, and a
    death is read off a host whose clock is two hours behind."""
    cluster = login.cluster
    launch = login.begin(*launching("h", "node1,node2"), *MOCKER, "--set", "timeouts.ready=600")
    until(lambda: bool(of_a_run(cluster, "node2")))
    for box in ("login", "node1"):
        cluster.set_clock(box, 3600)
    _, error = launch.communicate(timeout=HANGS_S)
    assert launch.returncode == 0, error
    cluster.set_clock("node2", -3600)
    now = [int(cluster.run(box, ("date", "+%s")).stdout) for box in ("login", "node2")]
    assert 7100 < now[0] - now[1] < 7300
    assert login.dsr1("smoke", "h").returncode == 0
    kill(cluster, "node2", "dynamo.mocker")
    assert login.reason("h").startswith("main-1 ended by signal SIGKILL")
    cause = json.loads(login.read("h", "state.json"))["cause"]
    assert (cause["sign"]["host"], cause["sign"]["process"]) == ("node2", "main-1")
    assert_clean(cluster, "node1", "node2")


def test_a_run_is_ended_by_an_agent_that_finds_no_room_in_tmp(login: Login) -> None:
    """As of a newer dsr1, whose program isn't there yet, or after a cleaner."""
    mount = ("mount", "-t", "tmpfs", "-o", "size=80m,mode=1777", "tmpfs", "/tmp")
    assert login.cluster.run("node2", mount, user="root").returncode == 0
    assert login.launch("m", "node1,node2", *MOCKER).returncode == 0
    kill(login.cluster, "login", "run.supervision")
    fill = "rm /tmp/dsr1-*/agent-*; cat /dev/zero > /tmp/filler"
    assert "No space left" in login.cluster.run("node2", ("sh", "-c", fill)).stderr
    stopped = login.dsr1("stop", "m")
    assert (stopped.returncode, stopped.stderr) == (0, "")
    assert_clean(login.cluster, "node1", "node2")
