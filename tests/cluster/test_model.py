"""The model's files on hosts over SSH."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.answers import data_of
from tests.built import RUNTIME
from tests.cluster.conftest import Clusters
from tests.cluster.hosts import Cluster
from tests.cluster.layout import ROOT
from tests.cluster.login import Login
from tests.unit.hosts.agent.model.test_model import FIRST, make_model
from tests.waiting import HANGS_S, until

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
    (failed,) = [found for found in data_of(changed.stdout) if found["verdict"] == "FAIL"]
    assert (changed.returncode, failed["check"], FIRST in failed["seen"]) == (3, "model.same", True)


def test_a_model_at_another_path_is_told_of_its_host(cluster: Cluster) -> None:
    give_model(cluster, "node1")
    done = Login(cluster).dsr1("model", "verify", "/tmp/R1", "--hosts", "node1,node2", "--json")
    failed = {
        (found["host"], found["seen"])
        for found in data_of(done.stdout)
        if found["verdict"] == "FAIL"
    }
    assert (done.returncode, failed) == (3, {("node2", "/tmp/R1: No such file or directory")})


REPO, TOKEN, HUB_PORT = "deepseek-ai/DeepSeek-R1", "hf_secret", 8099


@pytest.fixture
def hub(runtime: None, cluster: Cluster) -> Iterator[Login]:
    """A hub on the login host, and its user, who knows its address and token."""
    give_model(cluster, "login", f"/home/launch/hub/{REPO}")
    argv = (sys.executable, "-m", "tests.agent.hub", "/home/launch/hub", str(HUB_PORT), TOKEN)
    command = cluster.command("login", argv, env={"PYTHONPATH": str(ROOT)})
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        assert serving.stdout.readline() == "ready\n"
        yield Login(cluster, {"HF_ENDPOINT": f"http://login:{HUB_PORT}", "HF_TOKEN": TOKEN})
        serving.kill()


def test_each_host_fetches_for_itself(hub: Login) -> None:
    """With the huggingface_hub of the environment that has vLLM; a folder that can't be made is
    told with its host."""
    fetch = ("model", "fetch", REPO, "--venv", str(RUNTIME), "--hosts", "node1,node2", "--to")
    done = hub.dsr1(*fetch, "/home/launch")
    assert done.returncode == 0, done.stderr
    wanted = {
        path.name: path.read_bytes()
        for path in hub.cluster.path("login", f"/home/launch/hub/{REPO}").iterdir()
    }
    for host in ("node1", "node2"):
        found = {
            path.name: path.read_bytes()
            for path in hub.cluster.path(host, "/home/launch/DeepSeek-R1").iterdir()
        }
        assert found.pop("SHA256SUMS")
        assert found == wanted
    shut = hub.dsr1(*fetch, "/root")
    assert shut.returncode == 3
    assert (
        shut.stderr.count("/root/DeepSeek-R1: can't be written to by uid 2000: Permission denied")
        == 2
    )
    nothing = hub.dsr1(*fetch, "/tmp", "--revision", "v9")
    assert (
        nothing.returncode,
        "node1: deepseek-ai/DeepSeek-R1: has no revision 'v9'" in nothing.stderr,
    ) == (2, True)
    assert TOKEN not in done.stdout + done.stderr + shut.stderr + nothing.stderr


FOLDER = "/home/launch/R1"
PUSH = ("model", "push", FOLDER, "--json", "--hosts")
SLOW = "root tbf rate 240mbit burst 512kb latency 100ms"


def grow(model: Path, megabytes: int) -> None:
    """A large file beside the shards, of bytes that differ from block to block, so that a push
    takes a while."""
    with (model / "large.bin").open("wb") as file:
        for block in range(megabytes):
            file.write(hashlib.sha256(str(block).encode()).digest() * (1 << 15))
    (model / "large.bin").chmod(0o644)


def received(stdout: str) -> dict[str, int]:
    return {host: one["received_bytes"] for host, one in data_of(stdout).items()}


def files_on(cluster: Cluster, host: str) -> dict[str, str]:
    """Hash by name of all that lies there, hidden files included."""
    root = cluster.path(host, FOLDER)
    found = [path for path in root.rglob("*") if path.is_file()] if root.exists() else []
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in found
    }


def size_on(cluster: Cluster, host: str) -> int:
    """Of what has come so far, whole or not."""
    found = cluster.path(host, FOLDER).rglob("large.bin*")
    return sum(path.stat().st_size for path in found)


@pytest.fixture
def slow(make_cluster: Clusters) -> Cluster:
    """node1 has a model of 160 MB, behind a link that needs five seconds for it."""
    cluster = make_cluster("node1", "node2", "node3", "node4")
    grow(give_model(cluster, "node1", FOLDER), 160)
    assert (
        cluster.run(
            "node1", ("tc", "qdisc", "add", "dev", "eth0", *SLOW.split()), user="root"
        ).returncode
        == 0
    )
    return cluster


def test_a_model_goes_from_host_to_host(make_cluster: Clusters) -> None:
    cluster = make_cluster("node1", "node2", "node3")
    give_model(cluster, "node1", FOLDER)
    login, wanted = Login(cluster), files_on(cluster, "node1")
    done = login.dsr1(*PUSH, "node[1-3]")
    assert (done.returncode, set(data_of(done.stdout))) == (0, {"node2", "node3"}), done.stderr
    assert files_on(cluster, "node2") == files_on(cluster, "node3") == wanted
    shard = cluster.path("node3", f"{FOLDER}/{FIRST}")
    size = shard.stat().st_size
    shard.unlink()
    again = login.dsr1(*PUSH, "node[1-3]")
    assert received(again.stdout) == {"node2": 0, "node3": size}
    assert login.dsr1("model", "verify", FOLDER, "--hosts", "node[1-3]", "--deep").returncode == 0
    assert agents_on(cluster, "node1", "node2", "node3") == []


def finals(files: dict[str, str]) -> dict[str, str]:
    return {name: seen for name, seen in files.items() if not name.startswith(".")}


def agents_on(cluster: Cluster, *hosts: str) -> list[str]:
    return [
        line for host in hosts for _, line in cluster.processes(host, "launch") if "agent-" in line
    ]


def test_a_host_that_dies_stops_no_other_and_goes_on_later(slow: Cluster) -> None:
    """node2 is the first of the chain: those behind it turn to the source."""
    login, wanted = Login(slow), files_on(slow, "node1")
    with login.begin(*PUSH, "node[1-4]") as push:
        until(lambda: size_on(slow, "node2") > 30e6)
        slow.crash("node2")
        out, err = push.communicate(timeout=HANGS_S)
    assert (push.returncode, set(data_of(out))) == (4, {"node3", "node4"}), err
    assert "node2: " in err
    assert files_on(slow, "node3") == files_on(slow, "node4") == wanted
    slow.boot("node2")
    assert (
        wanted.items()
        >= {
            name: seen for name, seen in files_on(slow, "node2").items() if "." not in name[0]
        }.items()
    )
    again = login.dsr1(*PUSH, "node[1-4]")
    assert again.returncode == 0, again.stderr
    assert received(again.stdout)["node2"] < 160 * 2**20
    assert files_on(slow, "node2") == wanted


def test_interrupted_it_leaves_no_half_file_and_goes_on(slow: Cluster) -> None:
    login, wanted = Login(slow), files_on(slow, "node1")
    with login.begin(*PUSH, "node[1-4]") as push:
        until(lambda: size_on(slow, "node4") > 30e6)
        push.kill()
    until(lambda: agents_on(slow, "node1", "node2", "node3", "node4") == [])
    for host in ("node2", "node3", "node4"):
        assert wanted.items() >= finals(files_on(slow, host)).items()
        assert "large.bin" not in finals(files_on(slow, host))
    again = login.dsr1(*PUSH, "node[1-4]")
    assert again.returncode == 0, again.stderr
    assert max(received(again.stdout).values()) < 160 * 2**20
    assert all(files_on(slow, host) == wanted for host in ("node2", "node3", "node4"))


def test_what_cannot_be_pushed_is_told(make_cluster: Clusters) -> None:
    cluster = make_cluster("node1", "node2", "node3")
    login, model = Login(cluster), give_model(cluster, "node1", FOLDER)
    assert cluster.run("node3", ("touch", "/tmp/shut"), user="root").returncode == 0
    shut = login.dsr1(*PUSH, "node[1-3]", "--to", "/tmp/shut")
    assert (shut.returncode, set(data_of(shut.stdout))) == (3, {"node1", "node2"})
    assert "node3: /tmp/shut: can't be written to by uid 2000: " in shut.stderr
    grow(model, 2)
    small = "mkdir /tmp/small && mount -t tmpfs -o size=64k,mode=777 tmpfs /tmp/small"
    assert cluster.run("node3", ("sh", "-c", small), user="root").returncode == 0
    full = login.dsr1(*PUSH, "node[1-3]", "--to", "/tmp/small")
    assert (full.returncode, set(data_of(full.stdout))) == (3, {"node1", "node2"})
    assert "node3: /tmp/small: 2.1 MB are still to come, 0.1 MB are free" in full.stderr
    (model / FIRST).write_bytes(b"")
    broken = login.dsr1(*PUSH, "node[1-3]")
    assert (
        broken.returncode,
        f"the source is not complete, so nothing is copied\nnode1: model.shards: {FIRST}"
        in broken.stderr,
    ) == (
        3,
        True,
    )
    assert login.dsr1(*PUSH, "node1").returncode == 2
    assert login.dsr1(*PUSH, "node[1-3]", "--to", "relative").returncode == 2
