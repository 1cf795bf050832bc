"""Applied and taken back on a host's file tree: twice is once, and undone is as before."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.env.prep.roots import make_host, snapshot, write

from dsr1.hosts.agent.prep.apply import apply
from dsr1.hosts.agent.prep.journal import JournalStore
from dsr1.hosts.protocol.prep import PrepReport, PrepSteps

FAMILIES = pytest.mark.parametrize("family", ["debian", "rhel"])
REBUILD = {
    "debian": ("update-initramfs", "-u", "-k", "all"),
    "rhel": ("dracut", "-f", "--regenerate-all"),
}
# The kernel's own: their times mean nothing, and a module stays loaded.
VOLATILE = ("proc/",)


def states(report: PrepReport) -> dict[str, str]:
    return {outcome.what: outcome.state for outcome in report.outcomes}


@FAMILIES
def test_twice_is_once(tmp_path: Path, family: str) -> None:
    host = make_host(tmp_path, family)
    assert host.apply().bad == ()
    once, ran = snapshot(tmp_path), len(host.ran)
    again = host.decide()
    assert not again.steps
    assert host.apply().outcomes == ()
    assert (snapshot(tmp_path), len(host.ran)) == (once, ran)


@FAMILIES
def test_undone_is_as_before_byte_for_byte(tmp_path: Path, family: str) -> None:
    host = make_host(tmp_path, family)
    os.chown(
        tmp_path / "etc/fstab", 0 if os.geteuid() == 0 else -1, 12 if os.geteuid() == 0 else -1
    )
    before, kernel = (
        snapshot(tmp_path, *VOLATILE),
        (tmp_path / "proc/sys/kernel/numa_balancing").read_bytes(),
    )
    host.apply()
    assert snapshot(tmp_path, *VOLATILE) != before
    assert host.undo().bad == ()
    assert snapshot(tmp_path, *VOLATILE) == before
    assert (tmp_path / "proc/sys/kernel/numa_balancing").read_bytes() == kernel
    assert not (tmp_path / "var/lib/dsr1").exists()
    assert host.ran.count(REBUILD[family]) == 2
    assert host.undo().outcomes == ()


@FAMILIES
def test_what_is_done(tmp_path: Path, family: str) -> None:
    host = make_host(tmp_path, family)
    host.apply()
    assert (
        (tmp_path / "etc/modprobe.d/zz-dsr1.conf")
        .read_text()
        .endswith("\noptions nvidia NVreg_EnableStreamMemOPs=1\n")
    )
    assert (
        (tmp_path / "etc/modprobe.d/nvidia.conf").read_text()
        == '# site\noptions nvidia NVreg_RegistryDwords="RMConnectToNbr=1;PeerMappingOverride=1;" NVreg_X=2'
    )
    assert (
        "* - memlock unlimited\n" in (tmp_path / "etc/security/limits.d/zz-dsr1.conf").read_text()
    )
    assert "size=50%" in (tmp_path / "etc/fstab").read_text()
    assert (
        tmp_path / "proc/sys/net/ipv4/ip_local_reserved_ports"
    ).read_text() == "8000,9000,20003\n"
    assert host.ran[0] == REBUILD[family]
    assert set(host.ran[1:]) == {
        ("systemctl", "daemon-reload"),
        *(("modprobe", name) for name in ("gdrdrv", "nvidia_peermem", "rdma_ucm")),
        ("systemctl", "enable", "nvidia-persistenced"),
        ("systemctl", "restart", "nvidia-persistenced"),
        ("mount", "-o", "remount,size=50%", "/dev/shm"),
    }


def test_new_files_are_for_all_to_read_whatever_the_umask(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    old = os.umask(0o077)
    try:
        host.apply()
    finally:
        os.umask(old)
    made = (
        "etc/security/limits.d/zz-dsr1.conf",
        "etc/systemd/system/nvidia-persistenced.service.d/dsr1.conf",
    )
    assert [oct((tmp_path / path).stat().st_mode & 0o777) for path in made] == ["0o644", "0o644"]
    assert oct((tmp_path / made[1]).parent.stat().st_mode & 0o777) == "0o755"
    assert oct((tmp_path / "etc/modprobe.d/nvidia.conf").stat().st_mode & 0o777) == "0o640"
    assert oct((tmp_path / "var/lib/dsr1/prep/originals").stat().st_mode & 0o777) == "0o700"


def test_only_what_is_asked_for(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    before = snapshot(tmp_path, "var/", "etc/security/limits.d")
    assert states(host.apply(["sys.memlock"])) == {"/etc/security/limits.d/zz-dsr1.conf": "done"}
    assert snapshot(tmp_path, "var/", "etc/security/limits.d") == before
    assert "nofile" not in (tmp_path / "etc/security/limits.d/zz-dsr1.conf").read_text()


def test_a_part_at_a_time_is_undone_at_once(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    before = snapshot(tmp_path)
    host.apply(["sys.memlock"])
    host.apply(["sys.nofile"])
    assert len(host.look().journal.edits) == 1
    assert host.undo().bad == ()
    assert snapshot(tmp_path) == before


def test_a_broken_tool_stops_nothing_else_and_is_made_up_for(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    before = snapshot(tmp_path, *VOLATILE)
    host.broken = {"update-initramfs"}
    report = host.apply()
    assert [(outcome.what, outcome.problem) for outcome in report.bad] == [
        ("update-initramfs -u -k all", "update-initramfs: no space left")
    ]
    assert host.decide().steps == PrepSteps(settle=(REBUILD["debian"],))
    host.broken = set()
    assert host.apply().bad == ()
    assert not host.decide().steps
    assert host.undo().bad == ()
    assert snapshot(tmp_path, *VOLATILE) == before


@pytest.mark.parametrize("change", ["content", "mode", "link", "folder"])
def test_what_somebody_changed_since_is_named_and_nothing_undone(
    tmp_path: Path, change: str
) -> None:
    host = make_host(tmp_path)
    host.apply()
    file = tmp_path / "etc/modprobe.d/nvidia.conf"
    if change == "content":
        file.write_text("options nvidia NVreg_X=3\n")
    elif change == "mode":
        file.chmod(0o600)
    else:
        file.unlink()
        file.symlink_to("/etc/fstab") if change == "link" else file.mkdir()
    then = snapshot(tmp_path)
    report = host.undo()
    assert [(outcome.what, outcome.state) for outcome in report.outcomes] == [
        ("/etc/modprobe.d/nvidia.conf", "refused")
    ]
    assert snapshot(tmp_path) == then
    follow(report.outcomes[0].problem, file)
    assert host.undo().bad == ()


def follow(advice: str, file: Path) -> None:
    """Do as the message says."""
    original = advice.split("put its original there, ")[1].split(",")[0]
    if file.is_dir() and not file.is_symlink():
        file.rmdir()
    file.unlink(missing_ok=True)
    shutil.copy2(original, file)


def test_ours_then_theirs_then_ours_again(tmp_path: Path) -> None:
    """Both edits are kept apart: theirs, between them, is no state that undoing may skip."""
    host = make_host(tmp_path)
    host.apply(["ibgda.params"])
    file = tmp_path / "etc/modprobe.d/nvidia.conf"
    file.write_text('options nvidia NVreg_RegistryDwords="Theirs=1;"\n')
    host.apply(["ibgda.params"])
    assert (
        file.read_text()
        == 'options nvidia NVreg_RegistryDwords="Theirs=1;PeerMappingOverride=1;"\n'
    )
    assert [outcome.state for outcome in host.undo().outcomes] == ["refused"]


def test_what_changed_since_the_look_is_left_alone(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    steps = host.decide(["ibgda.params"]).steps
    (tmp_path / "etc/modprobe.d/nvidia.conf").write_text("# new\n")
    report = apply(steps, tmp_path, host.run)
    assert states(report)["/etc/modprobe.d/nvidia.conf"] == "refused"
    assert (tmp_path / "etc/modprobe.d/nvidia.conf").read_text() == "# new\n"


def test_nothing_done_leaves_no_journal(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    steps = host.decide(["ibgda.params"]).steps
    then = snapshot(tmp_path)
    refused = replace(steps, edits=tuple(replace(edit, before="else") for edit in steps.edits))
    assert {outcome.state for outcome in apply(refused, tmp_path, host.run).outcomes} == {"refused"}
    assert snapshot(tmp_path) == then


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    with JournalStore(tmp_path).locked():
        assert "another `dsr1 prep`" in host.apply().outcomes[0].problem
    assert host.apply().bad == ()


HOSTILE = {
    "etc/modprobe.d/nvidia.conf": "options nvidia NVreg_EnableStreamMemOPs=0\r\n",
    "etc/security/limits.d/zz-dsr1.conf": "# \0\n",
}


@pytest.mark.parametrize("path", HOSTILE)
def test_texts_that_are_not_for_us_to_change(tmp_path: Path, path: str) -> None:
    host = make_host(tmp_path)
    write(tmp_path, path, HOSTILE[path])
    made = host.decide()
    (finding,) = [finding for finding in made.findings if finding.seen.startswith(f"/{path}: ")][:1]
    assert finding.verdict == "FAIL"
    host.apply()
    assert (tmp_path / path).read_bytes() == HOSTILE[path].encode()
    assert (tmp_path / "etc/modules-load.d/dsr1.conf").exists()


@pytest.mark.parametrize("kind", ["link", "dangling", "folder", "fifo"])
def test_what_is_no_file_is_named(tmp_path: Path, kind: str) -> None:
    host = make_host(tmp_path)
    place = tmp_path / "etc/sysctl.d/99-zz-dsr1.conf"
    if kind in ("link", "dangling"):
        place.symlink_to(
            write(tmp_path, "opt/site.conf", "vm.x = 1\n") if kind == "link" else "/none"
        )
    elif kind == "folder":
        place.mkdir()
    else:
        os.mkfifo(place)
    then = snapshot(tmp_path / "etc/sysctl.d")
    made = host.decide()
    seen = {finding.check: finding.seen for finding in made.findings if finding.verdict == "FAIL"}
    assert set(seen) == {"sys.nproc", "sys.numa_balancing", "net.ephemeral"}
    assert all(text.startswith("/etc/sysctl.d/99-zz-dsr1.conf: ") for text in seen.values())
    assert made.hindered
    assert not made.steps.settings
    assert host.apply().bad == ()
    assert snapshot(tmp_path / "etc/sysctl.d") == then


def test_bytes_that_are_no_utf8_stay(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    file = write(
        tmp_path,
        "etc/modprobe.d/nvidia.conf",
        b"# caf\xe9 \xff\noptions nvidia NVreg_EnableStreamMemOPs=0",
    )
    host.apply()
    assert file.read_bytes() == b"# caf\xe9 \xff\noptions nvidia NVreg_EnableStreamMemOPs=1"
    assert host.undo().bad == ()
    assert file.read_bytes() == b"# caf\xe9 \xff\noptions nvidia NVreg_EnableStreamMemOPs=0"
