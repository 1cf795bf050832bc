"""dsr1 prep over SSH: hosts whose /etc and kernel variables are their own, and whose tools are
scripts that take notes.

Nothing of this machine is touched: a host has its own /etc and /var/lib, ip_local_* are its network
namespace's, variables that all share lie under files of its own, and no tool that loads, mounts or
starts anything is the real one.
"""

import os
import pty
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.answers import data_of
from tests.cluster.conftest import Clusters
from tests.cluster.hosts import Cluster, Completed
from tests.cluster.login import Login
from tests.waiting import HANGS_S, until

pytestmark = pytest.mark.cluster

SETUP = r"""
set -e
printf '%s\n' 'Defaults !fqdn' 'launch ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/launch
for tool in modprobe mount nvidia-smi systemctl $REBUILD; do
  printf '%s\n' '#!/bin/sh' 'echo "${0##*/} $*" >> /var/tmp/ran' 'case $1 in is-*) exit 1 ;; esac' \
    'while [ -e /var/tmp/hold ]; do sleep 0.1; done' > /usr/local/sbin/$tool
  chmod 755 /usr/local/sbin/$tool
done
echo 1024 65535 > /proc/sys/net/ipv4/ip_local_port_range
echo 9000 > /proc/sys/net/ipv4/ip_local_reserved_ports
for variable in numa_balancing=1 pid_max=32768 threads-max=65536; do
  at=/proc/sys/kernel/${variable%=*}
  if [ -e $at ]; then
    echo "${variable#*=}" > "/var/tmp/${variable%=*}"
    /bin/mount --bind "/var/tmp/${variable%=*}" $at
  fi
done
/bin/mount -t tmpfs -o mode=755 tmpfs /var/lib
/bin/mount -t tmpfs tmpfs /sys/bus
/bin/mount -t tmpfs tmpfs /proc/driver
mkdir -p /sys/bus/pci/devices/gpu /sys/bus/pci/devices/nic /proc/driver/nvidia /etc/modprobe.d
echo 0x10de > /sys/bus/pci/devices/gpu/vendor; echo 0x030200 > /sys/bus/pci/devices/gpu/class
echo 0x15b3 > /sys/bus/pci/devices/nic/vendor; echo 0x020700 > /sys/bus/pci/devices/nic/class
printf '%s\n' 'EnableStreamMemOPs: 0' 'RegistryDwords: "RMConnectToNbr=1;"' > /proc/driver/nvidia/params
printf '%s' 'options nvidia NVreg_RegistryDwords="RMConnectToNbr=1;"' > /etc/modprobe.d/site.conf
own=/var/tmp/theirs/$PACKAGES; mkdir -p $own /var/tmp/theirs/bin; touch /var/tmp/uids
chmod 666 /var/tmp/uids; ln -sf $PYTHON /var/tmp/theirs/bin/python
echo "home = ${PYTHON%/*}" > /var/tmp/theirs/pyvenv.cfg
printf '%s\n' "$MODULES" 'import os; open("/var/tmp/uids", "a").write(f"{os.getuid()}\n")' > $own/a.pth
chown -R other /var/tmp/theirs
rm -f /etc/os-release
echo "$RELEASE" > /etc/os-release
kill "$(cat /run/sshd.pid)"
"""
FAMILIES = {
    "node1": {"RELEASE": "ID=ubuntu", "REBUILD": "update-initramfs"},
    "node2": {"RELEASE": 'ID="rocky"\nID_LIKE="rhel centos fedora"', "REBUILD": "dracut"},
    "node3": {"RELEASE": "ID=debian", "REBUILD": ""},
}
RAN = {
    "node1": ["update-initramfs -u -k all", "systemctl daemon-reload"],
    "node2": ["dracut -f --regenerate-all", "systemctl daemon-reload"],
}
NEEDY_SSHD = ("prlimit", "--memlock=65536:65536", "/usr/sbin/sshd", "-E", "/var/log/sshd.log")
STATE = r"""
cat /proc/sys/net/ipv4/ip_local_reserved_ports /proc/sys/kernel/pid_max
cd / && find etc var/lib/dsr1 -printf '%p %y %m %U:%G %l\n' 2>/dev/null | sort
find etc var/lib/dsr1 -type f -exec sha256sum {} + 2>/dev/null | sort
"""
PREP = ("prep", "--set", f"runtime.python={sys.executable}", "--hosts", "node1,node2")
THEIRS = ("prep", "--set", "runtime.python=/var/tmp/theirs/bin/python", *PREP[3:])
"""The same Python, in an environment of another user's: what he writes there runs with it."""
VERSION = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
ENVIRONMENT = {
    "PYTHON": str(Path(sys.executable).resolve()),
    "PACKAGES": VERSION,
    "MODULES": str(Path(sys.prefix) / VERSION),
}


def as_root(cluster: Cluster, box: str, script: str, env: Mapping[str, str] | None = None) -> str:
    done = cluster.run(box, ("sh", "-c", script), user="root", env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ran(cluster: Cluster, box: str) -> list[str]:
    """Commands that do something."""
    told = as_root(cluster, box, "cat /var/tmp/ran 2>/dev/null || echo").splitlines()
    return [line for line in told if line and " is-" not in line]


def state(cluster: Cluster, box: str) -> str:
    """What preparing may change: every file of /etc and of dsr1's own folder, byte for byte, and a
    variable."""
    return as_root(cluster, box, STATE)


@pytest.fixture
def site(make_cluster: Clusters) -> Iterator[Login]:
    yield from set_up(make_cluster("node1", "node2"))


def set_up(cluster: Cluster) -> Iterator[Login]:
    """Hosts whose sessions lack memory to lock, and whose outgoing connections may take the
    recipe's ports."""
    before = machine()
    for box in hosts(cluster):
        as_root(cluster, box, SETUP, FAMILIES[box] | ENVIRONMENT)
        until(lambda box=box: not cluster.boxes[box].listens())  # type: ignore[misc]
        assert cluster.run(box, NEEDY_SSHD, user="root").returncode == 0
        until(cluster.boxes[box].listens)
    yield Login(cluster)
    assert machine() == before


def machine() -> tuple[object, ...]:
    """What preparing would change, were it this machine that is prepared."""
    paths = (
        "/etc/sysctl.d",
        "/etc/security/limits.d",
        "/etc/modprobe.d",
        "/etc/systemd/system",
        "/var/lib/dsr1",
    )
    variables = "kernel/pid_max", "net/ipv4/ip_local_reserved_ports", "net/ipv4/ip_local_port_range"
    files = sorted(
        (str(file), file.lstat().st_mtime_ns) for path in paths for file in Path(path).rglob("*")
    )
    return (*files, *(Path("/proc/sys", name).read_text() for name in variables))


def states(cluster: Cluster) -> dict[str, str]:
    return {box: state(cluster, box) for box in hosts(cluster)}


def hosts(cluster: Cluster) -> list[str]:
    return [box for box in cluster.boxes if box != "login"]


def told(done: Completed) -> dict[str, dict[str, object]]:
    hosts: dict[str, dict[str, object]] = data_of(done.stdout)["hosts"]
    return hosts


def test_shown_applied_applied_again_and_taken_back(site: Login) -> None:
    before = states(site.cluster)
    shown = site.dsr1(*PREP)
    assert shown.returncode == 0, shown.stderr
    assert ("  ubuntu\n" in shown.stdout, "  rocky\n" in shown.stdout) == (True, True)
    assert 'NVreg_RegistryDwords="RMConnectToNbr=1;PeerMappingOverride=1;"' in shown.stdout
    assert "apt install gdrdrv-dkms" in shown.stdout
    assert "dnf install gdrcopy-kmod" in shown.stdout
    assert "node[1-2]: reboot needed" in shown.stdout
    assert "net.ipv4.ip_local_reserved_ports: 9000 -> 8000,9000,20000" in shown.stdout
    assert "LimitMEMLOCK=infinity" in shown.stdout
    assert states(site.cluster) == before

    applied = site.dsr1(*THEIRS, "--apply", "--yes")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    for box in RAN:
        uids = as_root(site.cluster, box, "cat /var/tmp/uids; ls -d /run/dsr1-root-* || true")
        assert set(uids.split()) == {as_root(site.cluster, box, "id -u launch").strip()}
    once = states(site.cluster)
    assert all(once[box] != before[box] for box in once)
    assert "8000,9000,20000" in once["node1"]
    assert "\n4194304\n" in once["node1"]
    assert {box: ran(site.cluster, box) for box in RAN} == RAN

    again = site.dsr1(*PREP, "--apply", "--yes", "--json")
    assert again.returncode == 0, again.stderr
    assert {host: one["report"] for host, one in told(again).items()} == {
        "node1": None,
        "node2": None,
    }
    assert states(site.cluster) == once

    undone = site.dsr1(*THEIRS, "--undo", "--yes")
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert states(site.cluster) == before
    assert "0" not in as_root(site.cluster, "node1", "cat /var/tmp/uids").split()
    assert "Nothing to undo" in site.dsr1(*PREP, "--undo", "--yes").stdout


def asked(site: Login, answer: str) -> tuple[int, str]:
    """With a terminal, on which a person answers: the exit code, and what was said."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "r+b", buffering=0) as terminal:
        process = site.begin(*PREP, "--apply", stdin=theirs)
        os.close(theirs)
        terminal.write(answer.encode())
        said, _ = process.communicate(timeout=HANGS_S)
    return process.returncode, said


def test_a_person_is_asked_and_nobody_else(site: Login) -> None:
    before = states(site.cluster)
    for verb in ("--apply", "--undo"):
        refused = site.dsr1(*PREP, verb)
        assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
    code, said = asked(site, "n\n")
    assert (code, "Change 2 hosts?" in said) == (1, True)
    assert states(site.cluster) == before
    assert asked(site, "y\n")[0] == 0
    assert all(text != before[box] for box, text in states(site.cluster).items())


def test_without_sudo_a_host_is_named_and_the_others_are_done(make_cluster: Clusters) -> None:
    """It asks for a password on node1, and isn't there on node2."""
    for site in set_up(make_cluster("node1", "node2", "node3")):
        as_root(site.cluster, "node1", "echo 'launch ALL=(ALL) ALL' > /etc/sudoers.d/launch")
        as_root(
            site.cluster,
            "node2",
            "touch /var/tmp/none; /bin/mount --bind /var/tmp/none /usr/bin/sudo",
        )
        before = states(site.cluster)
        done = site.dsr1(*PREP[:-1], "node[1-3]", "--apply", "--yes")
        assert done.returncode == 4
        assert all(
            f"{box}: nothing was changed, since this needs root" in done.stdout
            for box in ("node1", "node2")
        )
        assert "a password is required" in done.stdout
        after = states(site.cluster)
        assert [box for box in after if after[box] != before[box]] == ["node3"]


def test_a_host_that_is_down_is_named_and_the_others_are_shown(site: Login) -> None:
    site.cluster.crash("node2")
    done = site.dsr1(*PREP)
    assert done.returncode == 4
    assert "node2: can't be reached" in done.stderr
    assert "node1" in done.stdout


def test_cut_while_it_applies_it_goes_on_and_a_second_apply_finds_it_done(site: Login) -> None:
    before = states(site.cluster)
    as_root(site.cluster, "node2", "touch /var/tmp/hold")
    process = site.begin(*PREP, "--apply", "--yes")
    until(lambda: ran(site.cluster, "node2") == RAN["node2"][:1])
    site.cluster.cut("node2")
    said, _ = process.communicate(timeout=HANGS_S)
    assert process.returncode == 4, said
    busy(site)
    as_root(site.cluster, "node2", "rm /var/tmp/hold")
    until(lambda: not agents(site.cluster))
    again = site.dsr1(*PREP, "--apply", "--yes")
    assert again.returncode == 0, again.stdout + again.stderr
    assert ran(site.cluster, "node2") == RAN["node2"]
    assert site.dsr1(*PREP, "--undo", "--yes").returncode == 0
    assert states(site.cluster) == before


def busy(site: Login) -> None:
    """Back on the network, its first apply is still at work."""
    site.cluster.heal("node2")
    second = site.dsr1(*PREP, "--apply", "--yes")
    assert second.returncode == 4
    assert "another `dsr1 prep` is at work there" in second.stdout


def agents(cluster: Cluster) -> list[str]:
    return [line for _, line in cluster.processes("node2") if "agent-" in line]


def test_killed_while_it_applies_a_second_apply_goes_on(site: Login) -> None:
    before = states(site.cluster)
    as_root(site.cluster, "node2", "touch /var/tmp/hold")
    process = site.begin(*PREP, "--apply", "--yes")
    until(lambda: ran(site.cluster, "node2") == RAN["node2"][:1])
    pid = next(
        pid
        for pid, line in site.cluster.processes("node2", None)
        if "agent-" in line and "sudo" not in line
    )
    as_root(site.cluster, "node2", f"kill -KILL {pid}; rm /var/tmp/hold")
    process.communicate(timeout=HANGS_S)
    assert process.returncode == 4
    shown = site.dsr1(*PREP)
    assert "due since an earlier change" in shown.stdout
    assert site.dsr1(*PREP, "--apply", "--yes").returncode == 0
    assert ran(site.cluster, "node2") == [RAN["node2"][0], *RAN["node2"]]
    assert site.dsr1(*PREP, "--undo", "--yes").returncode == 0
    assert states(site.cluster) == before


def test_what_somebody_changed_since_is_not_undone(site: Login) -> None:
    assert site.dsr1(*PREP, "--apply", "--yes").returncode == 0
    as_root(site.cluster, "node1", "echo '# theirs' >> /etc/sysctl.d/99-zz-dsr1.conf")
    before = state(site.cluster, "node1")
    refused = site.dsr1(*PREP, "--undo", "--yes")
    assert refused.returncode == 3
    assert "/etc/sysctl.d/99-zz-dsr1.conf: somebody has changed it since" in refused.stdout
    assert state(site.cluster, "node1") == before


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_a_disk_that_takes_nothing(site: Login, trouble: str) -> None:
    """Nothing half-written: every file is as it was, and the report says why."""
    full = (
        "mkdir -p /etc/sysctl.d /var/lib/dsr1; /bin/mount -t tmpfs -o size=4k,mode=755 tmpfs"
        " /etc/sysctl.d"
    )
    full += "; head -c 4096 /dev/zero > /etc/sysctl.d/zero || true"
    read_only = "/bin/mount -o remount,ro /etc"
    as_root(site.cluster, "node1", full if trouble == "full" else read_only)
    files = "find /etc /etc/sysctl.d -maxdepth 1 ! -type d -printf '%p %m %s %T@\\n' | sort"
    listed = as_root(site.cluster, "node1", files)
    done = site.dsr1(*PREP, "--apply", "--yes", "--only", "net.ephemeral")
    assert done.returncode == (4 if trouble == "full" else 3), done.stdout
    why = "No space left on device" if trouble == "full" else "/etc is mounted read-only"
    assert why in done.stdout
    assert as_root(site.cluster, "node1", files) == listed
    assert (
        as_root(site.cluster, "node1", "cat /proc/sys/net/ipv4/ip_local_reserved_ports") == "9000\n"
    )
