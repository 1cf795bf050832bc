"""The cluster itself: hosts that are apart from each other and from the machine, and that end
without a trace."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.built import PYTHON
from tests.cluster.box import Box, pids_in
from tests.cluster.conftest import Clusters
from tests.cluster.hosts import Cluster, Completed
from tests.cluster.layout import ROOT
from tests.waiting import HANGS_S, until

from dsr1.hosts.protocol.identity import read_stat

pytestmark = pytest.mark.cluster

UNREACHED = 255

# Makes a cluster as a test run does, tells its namespaces, and waits to be killed.
MAKER = """\
import sys
from pathlib import Path
from tests.cluster.hosts import Cluster
cluster = Cluster.up(Path(sys.argv[1]), ["node1"])
print(*(space for box in cluster.boxes.values() for space in box.spaces), *cluster._spaces, flush=True)
sys.stdin.read()
"""


def ssh(cluster: Cluster, box: str, target: str, script: str, timeout_s: int = 10) -> Completed:
    options = ("-o", "BatchMode=yes", "-o", f"ConnectTimeout={timeout_s}")
    return cluster.run(box, ("ssh", *options, target, script))


@contextmanager
def running(command: Sequence[str]) -> "Iterator[subprocess.Popen[bytes]]":
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def read_line(process: "subprocess.Popen[bytes]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


def zombies(box: Box) -> list[int]:
    stats = [read_stat(pid) for pid in pids_in(box.spaces)]
    return [stat.pid for stat in stats if stat is not None and not stat.alive]


def boot_id(cluster: Cluster, box: str) -> str:
    return cluster.run(box, ("cat", "/proc/sys/kernel/random/boot_id")).stdout.strip()


def machine() -> tuple[str, ...]:
    """What a cluster must leave as it is."""
    links = subprocess.run(
        ("ip", "-br", "link"), capture_output=True, text=True, check=True, timeout=HANGS_S
    ).stdout
    files = (
        "/proc/self/mountinfo",
        "/etc/hosts",
        "/etc/passwd",
        "/etc/group",
        "/proc/sys/kernel/hostname",
    )
    return (
        links,
        *(Path(file).read_text() for file in files),
        *sorted(home.name for home in Path("/home").iterdir()),
    )


@pytest.mark.parametrize(
    ("box", "target"), [("login", "node1"), ("node1", "node2"), ("node2", "login")]
)
def test_hosts_log_in_to_each_other(box: str, target: str, cluster: Cluster) -> None:
    for address in (target, cluster.boxes[target].address):
        told = ssh(cluster, box, address, "hostname; id -un; pwd")
        assert (told.returncode, told.stdout.split()) == (
            0,
            [target, "launch", "/home/launch"],
        ), told.stderr


def test_hosts_are_apart(cluster: Cluster) -> None:
    names = list(cluster.boxes)
    assert [cluster.run(box, ("hostname",)).stdout.strip() for box in names] == [
        "login",
        "node1",
        "node2",
    ]
    assert (
        len(
            {boot_id(cluster, box) for box in names}
            | {Path("/proc/sys/kernel/random/boot_id").read_text()}
        )
        == 4
    )
    for folder in ("/tmp", "/var/tmp", "/dev/shm", "/home/launch", "/etc", "/usr/local/bin"):
        user = "launch" if folder not in ("/etc", "/usr/local/bin") else "root"
        assert cluster.run("node1", ("touch", f"{folder}/mine"), user=user).returncode == 0
        assert cluster.path("node1", f"{folder}/mine").exists()
        assert not cluster.path("node2", f"{folder}/mine").exists()
        assert not Path(folder, "mine").exists()
    assert cluster.run("node1", ("sh", "-c", "ls /sys/class/net")).stdout.split() == ["eth0", "lo"]


def test_processes_are_told_as_their_host_sees_them(cluster: Cluster) -> None:
    with running(cluster.command("node1", ("sh", "-c", "echo $$; exec sleep 600"))) as sleeper:
        pid = int(read_line(sleeper))
        until(
            lambda: cluster.processes("node1", "launch") == [(pid, "sleep 600")],
            "the sleeper's name",
        )
        assert cluster.processes("node2", "launch") == []
        assert cluster.run("node1", ("kill", str(pid))).returncode == 0
        assert sleeper.wait(HANGS_S) == -signal.SIGTERM


def test_a_command_that_takes_too_long_is_ended(cluster: Cluster) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        cluster.run("node1", ("sleep", "600"), timeout=0.5)
    until(lambda: cluster.processes("node1", "launch") == [], "the end of the sleeper")


def test_orphans_are_reaped(cluster: Cluster) -> None:
    """A host whose pid 1 does not wait for them would keep every orphan as a zombie."""
    assert (
        ssh(cluster, "login", "node1", "(sleep 0.1 & sleep 0.1 &) >/dev/null 2>&1").returncode == 0
    )
    until(lambda: cluster.processes("node1", "launch") == [], "the end of the orphans")
    until(lambda: zombies(cluster.boxes["node1"]) == [], "their reaping")


def test_a_cut_host_is_not_reached_until_it_is_healed(cluster: Cluster) -> None:
    before = boot_id(cluster, "node1")
    cluster.cut("node1")
    assert ssh(cluster, "login", "node2", "true").returncode == 0
    for _ in range(2):  # the kernel asks three times for its card, a second apart
        assert ssh(cluster, "login", "node1", "true", 1).returncode == UNREACHED
    cluster.heal("node1")
    assert ssh(cluster, "login", "node1", "true").returncode == 0
    assert boot_id(cluster, "node1") == before


def test_a_crashed_host_is_down_and_boots_anew(cluster: Cluster) -> None:
    before = boot_id(cluster, "node1")
    assert cluster.run("node1", ("touch", "/tmp/memory", "/home/launch/disk")).returncode == 0
    cluster.crash("node1")
    assert cluster.processes("node1") == []
    assert ssh(cluster, "login", "node1", "true", 1).returncode == UNREACHED
    with pytest.raises(RuntimeError, match="node1 is down"):
        cluster.run("node1", ("true",))
    cluster.boot("node1")
    listed = ssh(cluster, "login", "node1", "ls /home/launch /tmp/memory").stdout.split()
    assert listed == ["/home/launch:", "disk"]
    assert boot_id(cluster, "node1") != before


def test_the_launching_side_can_crash_too(cluster: Cluster) -> None:
    cluster.crash("login")
    assert ssh(cluster, "node1", "node2", "true").returncode == 0
    cluster.boot("login")
    assert ssh(cluster, "login", "node1", "true").returncode == 0


def test_a_host_without_sshd_refuses_and_keeps_its_sessions(cluster: Cluster) -> None:
    session = cluster.command("login", ("ssh", "-o", "BatchMode=yes", "node1", "echo in; cat"))
    with running(session) as there:
        assert read_line(there) == "in"
        cluster.stop_sshd("node1")
        refused = ssh(cluster, "login", "node1", "true")
        assert (refused.returncode, "Connection refused" in refused.stderr) == (UNREACHED, True)
        assert there.communicate(b"still\n", 10)[0] == b"still\n"
    cluster.start_sshd("node1")
    assert ssh(cluster, "login", "node1", "true").returncode == 0


def test_other_is_not_let_in(cluster: Cluster) -> None:
    assert cluster.run("node1", ("id", "-u"), user="other").stdout == "2001\n"
    assert "Permission denied" in ssh(cluster, "login", "other@node1", "true").stderr
    assert cluster.run("node1", ("ls", "/home/launch"), user="other").returncode != 0


@pytest.mark.parametrize("python", [Path(sys.executable), PYTHON], ids=["tests", "runtime"])
def test_launch_runs_the_environments(python: Path, runtime: None, cluster: Cluster) -> None:
    script = "import psutil, sys; print(sys.executable)"
    assert ssh(cluster, "login", "node1", f"{python} -c '{script}'").stdout.strip() == str(python)
    assert cluster.run("login", (str(python), "-c", script)).stdout.strip() == str(python)


def test_a_home_that_the_hosts_share(make_cluster: Clusters) -> None:
    cluster = make_cluster("node1", shared_home=True)
    assert cluster.run("login", ("touch", "/home/launch/shared")).returncode == 0
    assert ssh(cluster, "login", "node1", "ls").stdout == "shared\n"


def test_a_host_whose_name_is_its_loopback(make_cluster: Clusters) -> None:
    cluster = make_cluster("node1", "node2", loopback_names={"node1"})
    told = {
        box: cluster.run(box, ("getent", "hosts", "node1")).stdout.split()[0]
        for box in cluster.boxes
    }
    address = cluster.boxes["node1"].address
    assert told == {"login": address, "node1": "127.0.1.1", "node2": address}
    assert ssh(cluster, "login", "node1", "true").returncode == 0


def test_down_leaves_nothing(make_cluster: Clusters) -> None:
    before = machine()
    cluster = make_cluster("node1")
    spaces = cluster.boxes["node1"].spaces
    assert machine() == before
    with running(cluster.command("node1", ("sleep", "600"))) as sleeper:
        until(lambda: len(cluster.processes("node1", "launch")) == 1, "the sleeper")
        cluster.down()
        assert sleeper.wait(HANGS_S) != 0
    assert not any(pids_in(spaces))
    assert machine() == before
    cluster.down()


def test_two_clusters_do_not_disturb_each_other(make_cluster: Clusters) -> None:
    one, two = make_cluster("node1"), make_cluster("node1")
    assert one.boxes["node1"].address == two.boxes["node1"].address
    one.crash("node1")
    assert ssh(two, "login", "node1", "hostname").stdout == "node1\n"
    assert ssh(one, "login", "node1", "true", 1).returncode == UNREACHED
    one.down()
    assert ssh(two, "login", "node1", "hostname").stdout == "node1\n"


def test_a_killed_test_run_leaves_nothing(packages: None, tmp_path: Path) -> None:
    path = f"PYTHONPATH={ROOT}:{ROOT / 'hosts'}"
    with running(("env", path, sys.executable, "-c", MAKER, str(tmp_path))) as maker:
        spaces = frozenset(read_line(maker).split())
        assert any(pids_in(spaces))
    until(lambda: not any(pids_in(spaces)), "the end of what it made")


def test_a_host_can_write_nothing_of_the_machine(cluster: Cluster, tmp_path: Path) -> None:
    """Not even as root: a test that removes /tmp/* inside a host once removed the runtime
    outside."""
    mine = tmp_path / "mine"
    mine.write_text("here")
    inside = 'rm -rf /tmp/* /var/tmp/*; for d in / /usr /var /opt "$1"; do touch "$d/x"; done'
    done = cluster.run("node1", ("sh", "-c", inside, "sh", str(ROOT)), user="root")
    assert done.stderr.count("Read-only file system") == 5, done.stderr
    assert mine.read_text() == "here"
    assert not (ROOT / "x").exists()
