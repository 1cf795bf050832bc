"""Nothing of another run is touched, and nothing is called gone that lives: real supervisors and
agents on hosts of their own."""

import json

import pytest
from tests.answers import data_of
from tests.cluster.conftest import Clusters
from tests.cluster.hosts import Cluster
from tests.cluster.login import MOCKER, PATIENT_ETCD, SOON_LOST, Login, assert_clean, kill, of_a_run
from tests.waiting import HANGS_S, until

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]
OTHER_PORTS = ("--set", "ports.base=21000", "--set", "frontend.port=9000")
SERVING = ["etcd", "frontend", "main-0", "main-1"]


def elsewhere(login: Login) -> Login:
    """Another state folder, as of a second login host or a lost home."""
    return Login(login.cluster, {"DSR1_STATE_DIR": "/home/launch/elsewhere"})


def test_a_second_launch_of_the_same_name_is_refused_and_harms_nobody(login: Login) -> None:
    assert login.launch("r1", "node1,node2", *MOCKER).returncode == 0
    refused = elsewhere(login).launch("r1", "node1,node2", *MOCKER, *OTHER_PORTS)
    assert refused.returncode == 4
    assert "run r1 is there already, launched by launch on login since 20" in refused.stderr
    assert login.status("r1")["alive"] == SERVING
    assert login.dsr1("smoke", "r1").returncode == 0
    assert login.dsr1("stop", "r1").returncode == 0
    assert_clean(login.cluster, "node1", "node2")


def test_partly_overlapping_hosts_are_rolled_back_alone(
    runtime: None, make_cluster: Clusters
) -> None:
    login = Login(make_cluster("node1", "node2", "node3"))
    assert login.launch("r1", "node1,node2", *MOCKER).returncode == 0
    refused = elsewhere(login).launch("r1", "node3,node2", *MOCKER, *OTHER_PORTS)
    assert refused.returncode == 4
    assert_clean(login.cluster, "node3")
    assert login.status("r1")["alive"] == SERVING
    assert login.phase("r1") == "ready"


def empty(login: Login, box: str) -> None:
    """As a cleaner does that knows no locks."""
    assert login.cluster.run(box, ("sh", "-c", "rm -rf /tmp/dsr1-*/*")).returncode == 0


def test_a_cleaner_empties_a_hosts_folder(login: Login) -> None:
    """What serves is called alive, its logs can be read, and its files come back."""
    assert login.launch("c", "node1,node2", *MOCKER).returncode == 0
    empty(login, "node2")
    assert login.status("c")["alive"] == SERVING
    folder = login.cluster.path("node2", "/tmp/dsr1-2000/c/node2")
    until(lambda: (folder / "agent.json").exists() and (folder / "processes/main-1.json").exists())
    assert "main-1" in login.dsr1("logs", "c").stdout
    until(lambda: "had been emptied" in str(login.status("c")["notes"]))
    empty(login, "node1")
    stopped = login.dsr1("stop", "c")
    assert (stopped.returncode, stopped.stderr) == (0, "")
    assert_clean(login.cluster, "node1", "node2")


def test_stop_finds_what_has_neither_files_nor_an_agent(login: Login) -> None:
    assert login.launch("n", "node1,node2", *MOCKER).returncode == 0
    supervisor = json.loads(login.read("n", "supervisor.json"))["pid"]
    assert login.cluster.run("login", ("kill", "-9", str(supervisor))).returncode == 0
    kill(login.cluster, "node2", " start ")
    empty(login, "node2")
    assert "main-1" in login.status("n")["alive"]  # type: ignore[operator]
    assert login.dsr1("stop", "n").returncode == 0
    assert_clean(login.cluster, "node1", "node2")


def test_a_cut_heals_after_a_cleaner(login: Login) -> None:
    patient = (*PATIENT_ETCD, "--set", "timeouts.lost=240")
    assert login.launch("h", "node1,node2", *MOCKER, *patient).returncode == 0
    login.cluster.cut("node2")
    empty(login, "node2")
    login.cluster.heal("node2")
    assert login.dsr1("smoke", "h").returncode == 0
    assert login.phase("h") == "ready"
    assert login.dsr1("stop", "h").returncode == 0
    assert_clean(login.cluster, "node1", "node2")


def test_systemd_tmpfiles_passes_over_what_serves(login: Login) -> None:
    """As RHEL has it by default, with an age that everything has passed."""
    if login.cluster.run("node2", ("which", "systemd-tmpfiles")).returncode:
        pytest.skip("no systemd-tmpfiles here")
    assert login.launch("t", "node1,node2", *MOCKER).returncode == 0
    clean = "touch /tmp/other; printf 'q /tmp 1777 root root 0\\n' > /tmp.conf"
    clean += "; systemd-tmpfiles --clean /tmp.conf; ls /tmp"
    left = login.cluster.run(
        "node2", ("sh", "-c", clean.replace("/tmp.conf", "/run/tmp.conf")), user="root"
    )
    assert "dsr1-2000" in left.stdout
    assert "other" not in left.stdout
    assert login.status("t")["notes"] == []
    assert login.dsr1("stop", "t").returncode == 0


def remove_folder(login: Login, name: str) -> None:
    folder = f".local/state/dsr1/runs/{name}"
    assert login.cluster.run("login", ("rm", "-rf", f"/home/launch/{folder}")).returncode == 0


def test_a_supervisor_without_its_folder_ends_what_it_owns(login: Login) -> None:
    assert login.launch("f", "node1,node2", *MOCKER).returncode == 0
    remove_folder(login, "f")
    until(lambda: not of_a_run(login.cluster, "node1") and not of_a_run(login.cluster, "node2"))
    events = login.cluster.path("node2", "/tmp/dsr1-2000/f/node2/events.jsonl").read_text()
    assert "runs/f was removed on login" in events


def test_a_run_without_a_folder_is_found_adopted_and_stopped(login: Login) -> None:
    assert login.launch("a", "node1,node2", *MOCKER).returncode == 0
    refused = elsewhere(login).dsr1("adopt", "a", "--hosts", "node1,node2")
    assert (refused.returncode, "its supervisor lives on this machine" in refused.stderr) == (
        2,
        True,
    )
    supervisor = json.loads(login.read("a", "supervisor.json"))["pid"]
    assert login.cluster.run("login", ("kill", "-9", str(supervisor))).returncode == 0
    remove_folder(login, "a")
    hosts = ("--hosts", "node1,node2")
    assert login.dsr1("status", "a").returncode == 5
    found = data_of(login.dsr1("ps", *hosts, "--json").stdout)
    assert [run["run"] for run in found] == ["a"]
    assert found[0]["origin"].startswith("launch on login since ")
    adopted = login.dsr1("adopt", "a", *hosts)
    assert adopted.returncode == 0, adopted.stderr
    until(lambda: login.phase("a") == "ready")
    assert login.status("a")["alive"] == SERVING
    assert login.dsr1("smoke", "a").returncode == 0
    supervisor = json.loads(login.read("a", "supervisor.json"))["pid"]
    assert login.cluster.run("login", ("kill", "-9", str(supervisor))).returncode == 0
    remove_folder(login, "a")
    stopped = login.dsr1("stop", "a", *hosts)
    assert (stopped.returncode, "on these hosts" in stopped.stdout) == (0, True), stopped.stderr
    assert_clean(login.cluster, "node1", "node2")
    assert login.dsr1("stop", "a", *hosts).returncode == 5


def serving_on(cluster: Cluster, box: str) -> list[tuple[int, str]]:
    found = cluster.processes(box, "launch")
    return [(pid, line) for pid, line in found if "dynamo" in line or "etcd" in line]


def supervisor_of(login: Login, name: str) -> str:
    return str(json.loads(login.read(name, "supervisor.json"))["pid"])


def test_a_run_that_is_watched_from_another_machine_is_not_adopted(
    runtime: None, make_cluster: Clusters
) -> None:
    """Unless that supervisor is silent for long; should it come back, it leaves, and ends nothing:
    a machine that was suspended."""
    cluster = make_cluster("node1", "node2", "login2")
    login, other = Login(cluster), Login(cluster, box="login2")
    assert login.launch("w", "node1,node2", *MOCKER, *SOON_LOST, *PATIENT_ETCD).returncode == 0
    hosts, pid = ("--hosts", "node1,node2"), supervisor_of(login, "w")
    watched = f", watched by launch on login (pid {pid})\n"
    assert other.dsr1("ps", *hosts).stdout.endswith(watched)
    refused = other.dsr1("adopt", "w", *hosts)
    assert refused.returncode == 2
    assert f"hears its supervisor, launch on login (pid {pid}): see to it" in refused.stderr
    before = [serving_on(cluster, box) for box in ("node1", "node2")]
    cluster.run("login", ("kill", "-STOP", pid))
    until(lambda: other.dsr1("adopt", "w", *hosts).returncode == 0)
    until(lambda: other.phase("w") == "ready")
    cluster.run("login", ("kill", "-CONT", pid))
    until(lambda: not any("run.supervision" in line for _, line in cluster.processes("login")))
    left = "launch on login2 (pid "
    assert any(left in note for note in login.recorded("w")["notes"])  # type: ignore[attr-defined]
    assert login.phase("w") == "unsupervised"
    again = login.dsr1("supervise", "w")
    assert (again.returncode, left in again.stderr) == (2, True)
    assert other.dsr1("smoke", "w").returncode == 0
    assert (other.phase("w"), other.status("w")["alive"]) == ("ready", SERVING)
    assert [serving_on(cluster, box) for box in ("node1", "node2")] == before
    assert other.dsr1("stop", "w").returncode == 0
    assert_clean(cluster, "node1", "node2")


def test_of_two_adoptions_at_once_one_is_refused(runtime: None, make_cluster: Clusters) -> None:
    cluster = make_cluster("node1", "node2", "login2")
    login, other = Login(cluster), Login(cluster, box="login2")
    assert login.launch("b", "node1,node2", *MOCKER).returncode == 0
    kill(cluster, "login", "run.supervision")
    remove_folder(login, "b")
    both = [one.begin("adopt", "b", "--hosts", "node1,node2") for one in (login, other)]
    errors = [child.communicate(timeout=HANGS_S)[1] for child in both]
    codes = [child.returncode for child in both]
    assert sorted(codes) == [0, 2], errors
    winner, loser = (login, other) if codes[0] == 0 else (other, login)
    assert loser.dsr1("status", "b").returncode == 5
    until(lambda: winner.phase("b") == "ready")
    assert winner.dsr1("stop", "b").returncode == 0
    assert_clean(cluster, "node1", "node2")


def test_another_users_run_of_the_same_name_is_none_of_ours(login: Login) -> None:
    key = "cp -r /home/launch/.ssh /home/other/ && chown -R other /home/other/.ssh"
    for box in ("login", "node1", "node2"):
        assert login.cluster.run(box, ("sh", "-c", key), user="root").returncode == 0
    other = Login(login.cluster, user="other")
    for one, more in ((login, ()), (other, OTHER_PORTS)):
        launched = one.launch("u", "node1,node2", *MOCKER, *more)
        assert launched.returncode == 0, launched.stderr
    for one, name in ((login, "launch"), (other, "other")):
        found = data_of(one.dsr1("ps", "--hosts", "node1,node2", "--json").stdout)
        assert [(run["run"], run["origin"].split()[0]) for run in found] == [("u", name)]
    assert other.dsr1("stop", "u").returncode == 0
    assert login.status("u")["alive"] == SERVING
    assert not any("dynamo" in line for _, line in login.cluster.processes("node2", "other"))
    assert login.dsr1("stop", "u").returncode == 0
    assert_clean(login.cluster, "node1", "node2")


def test_sigterm_to_an_agent_is_no_stop(login: Login) -> None:
    assert login.launch("s", "node1,node2", *MOCKER).returncode == 0
    kill(login.cluster, "node2", " start ", "TERM")
    assert login.reason("s").startswith("node2 is shutting down")
    assert json.loads(login.read("s", "state.json"))["exit_code"] == 4
    assert_clean(login.cluster, "node1", "node2")


def test_a_hung_agent_is_told_and_judged_as_lost(login: Login) -> None:
    assert login.launch("u", "node1,node2", *MOCKER, *SOON_LOST).returncode == 0
    kill(login.cluster, "node2", " start ", "STOP")
    kill(login.cluster, "node2", "dynamo.mocker")
    assert login.reason("u").startswith(
        "node2 is lost: its agent has given no sign of life for 6 s"
    )
    assert_clean(login.cluster, "node1", "node2")


def test_an_orderly_reboot_with_a_spare(runtime: None, make_cluster: Clusters) -> None:
    """The host is still up when everything is ended; it is gone when it would be used again."""
    login = Login(make_cluster("node1", "node2", "node3"))
    again = ("--set", "spares=[node3]", "--set", "restart={max: 1, backoff: 0.1, within: 1h}")
    assert login.launch("o", "node1,node2", *MOCKER, *again).returncode == 0
    kill(login.cluster, "node2", " start ", "TERM")
    until(lambda: (login.status("o")["restarts"], login.phase("o")) == (1, "ready"))
    assert any("dynamo.mocker" in line for line in of_a_run(login.cluster, "node3"))
    login.cluster.crash("node2")
    login.cluster.boot("node2")
    assert login.dsr1("smoke", "o").returncode == 0
    assert login.dsr1("stop", "o").returncode == 0
    assert_clean(login.cluster, "node1", "node2", "node3")


def test_a_registration_that_is_lost_while_it_serves(login: Login) -> None:
    """A paused worker outlives its lease: it lives, and nobody asks it any more."""
    often = ("--set", "health={every: 3s}")
    assert login.launch("l", "node1,node2", *MOCKER, *often).returncode == 0
    kill(login.cluster, "node2", "dynamo.mocker", "STOP")
    assert login.reason("l").startswith("rank 1 of engine main on node2 ")
    assert_clean(login.cluster, "node1", "node2")
