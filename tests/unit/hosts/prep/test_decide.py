"""What is decided of what a host told: texts merged, nothing asked for twice, and what is left to a person."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce

import pytest
from tests.docs.blocks import ROOT

from dsr1.hosts.prep.decide import IDS, Preparation, decide
from dsr1.hosts.prep.driver import DWORDS, MEM_OPS, find_last, is_right, right_value
from dsr1.hosts.prep.kernel import render_ports
from dsr1.hosts.prep.limits import by_pam, of_unit, uses_pam
from dsr1.hosts.prep.shm import size_of
from dsr1.hosts.prep.texts import with_line
from dsr1.hosts.preparation import Driver, File, Gpus, Journal, Memory, Seen, Service, Session

GIB = 2**30
KEYS = (("EnableStreamMemOPs", "1"), ("RegistryDwords", "PeerMappingOverride=1;"))
FIT = Seen(
    system="Ubuntu 24.04",
    family="debian",
    session=Session("ml", 1000, ("ml", "gpu"), "ssh", -1, 1048576, -1),
    memory=Memory(2000 * GIB, 1000 * GIB),
    gpus=Gpus(8, (1,) * 8),
    driver=Driver(KEYS, dma_buf=True),
    adapters=8,
    loaded=("nvidia", "nvidia_uvm", "gdrdrv", "mlx5_ib", "ib_uverbs", "rdma_ucm"),
    available=("gdrdrv", "nvidia_peermem"),
    files=(File("/etc/modprobe.d/nvidia.conf", "file", "options nvidia NVreg_EnableStreamMemOPs=1\n"),),
    sysctls=(
        ("kernel.numa_balancing", "0"),
        ("kernel.pid_max", "4194304"),
        ("net.ipv4.ip_local_port_range", "32768\t60999"),
        ("net.ipv4.ip_local_reserved_ports", ""),
        ("fs.nr_open", "1073741816"),
    ),
    services=(),
    tools=("update-initramfs", "nvidia-smi", "systemctl"),
)
READY = 'options nvidia NVreg_EnableStreamMemOPs=1 NVreg_RegistryDwords="PeerMappingOverride=1;"\n'


def with_file(seen: Seen, path: str, text: str) -> Seen:
    kept = tuple(file for file in seen.files if file.path != path)
    return replace(seen, files=(*kept, File(path, "file", text)))


FIT = with_file(FIT, "/etc/modprobe.d/nvidia.conf", READY)


def after(seen: Seen, *ids: str, ports: Sequence[int] = (8000, 20003)) -> dict[str, str]:
    """New texts by path."""
    return {edit.path: edit.after for edit in decide("h", seen, ports, ids or IDS).steps.edits}


def notes(made: Preparation, *verdicts: str) -> list[tuple[str, str]]:
    return [(finding.check, finding.seen) for finding in made.findings if finding.verdict in verdicts]


def commands(made: Preparation) -> list[str]:
    return [" ".join(command.do) for command in made.steps.commands]


def test_a_fit_host_needs_nothing() -> None:
    made = decide("h", FIT, (8000, 20003))
    assert not made.steps
    assert made.findings == ()
    assert not made.reboot


def test_every_part_is_named_by_a_check() -> None:
    headings = [line[3:] for line in (ROOT / "docs" / "checks.md").read_text().splitlines() if line.startswith("## ")]
    assert set(IDS) - set(headings) == set()


# The driver's options

MODPROBE: list[tuple[dict[str, str], dict[str, str]]] = [
    ({}, {"zz-dsr1": READY}),
    ({"nvidia": READY * 2}, {}),
    (
        {"nvidia": "options nvidia NVreg_EnableStreamMemOPs=0"},
        {
            "nvidia": "options nvidia NVreg_EnableStreamMemOPs=1",
            "zz-dsr1": READY.replace("NVreg_EnableStreamMemOPs=1 ", ""),
        },
    ),
    (
        {"a": 'options nvidia "NVreg_RegistryDwords=A=0x1;PeerMappingOverride=0" NVreg_EnableStreamMemOPs=1\n'},
        {"a": 'options nvidia NVreg_RegistryDwords="A=0x1;PeerMappingOverride=1;" NVreg_EnableStreamMemOPs=1\n'},
    ),
    (
        {"a": "options nvidia NVreg_RegistryDwords=B=2; \\\n  NVreg_EnableStreamMemOPs=0\n"},
        {"a": 'options nvidia NVreg_RegistryDwords="B=2;PeerMappingOverride=1;" \\\n  NVreg_EnableStreamMemOPs=1\n'},
    ),
    (
        {"a": READY, "b": 'options nvidia NVreg_RegistryDwords=""\n'},
        {"b": 'options nvidia NVreg_RegistryDwords="PeerMappingOverride=1;"\n'},
    ),
    ({"a": f"#{READY}options nvidia-drm modeset=1\n"}, {"zz-dsr1": READY}),
]


@pytest.mark.parametrize(("there", "wanted"), MODPROBE)
def test_keys_are_put_where_they_are_read_last(there: dict[str, str], wanted: dict[str, str]) -> None:
    seen = replace(FIT, files=tuple(File(f"/etc/modprobe.d/{name}.conf", "file", text) for name, text in there.items()))
    told = after(seen, "ibgda.params")
    assert {path.split("/")[-1][:-5]: text.split("take it back.\n")[-1] for path, text in told.items()} == {
        name: (text if name in there else "# Written by `dsr1 prep`; `dsr1 prep --undo` takes it back.\n" + text)
        for name, text in wanted.items()
    }
    again = reduce(lambda seen, item: with_file(seen, *item), told.items(), seen)
    assert after(again, "ibgda.params") == {}


def test_a_packages_file_is_overruled_not_changed() -> None:
    text = 'options nvidia NVreg_RegistryDwords="A=1"\n'
    seen = replace(FIT, files=(File("/usr/lib/modprobe.d/nvidia.conf", "file", text),))
    assert list(after(seen, "ibgda.params")) == ["/etc/modprobe.d/zz-dsr1.conf"]
    assert 'NVreg_RegistryDwords="A=1;PeerMappingOverride=1;"' in after(seen, "ibgda.params").popitem()[1]


def test_a_file_in_etc_hides_its_namesake() -> None:
    hidden = File("/usr/lib/modprobe.d/nvidia.conf", "file", "options nvidia NVreg_EnableStreamMemOPs=0\n")
    assert after(replace(FIT, files=(*FIT.files, hidden)), "ibgda.params") == {}


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        (MEM_OPS, "1", True),
        (MEM_OPS, "0x1", True),
        (MEM_OPS, "10", False),
        (MEM_OPS, "", False),
        (DWORDS, "PeerMappingOverride=0x01", True),
        (DWORDS, "X=1; PeerMappingOverride = 1 ;", True),
        (DWORDS, "NoPeerMappingOverride=1;", False),
        (DWORDS, "PeerMappingOverride=10;", False),
        (DWORDS, "';id'", False),
    ],
)
def test_which_values_are_right(name: str, value: str, right: bool) -> None:
    assert is_right(name, value) is right
    assert is_right(name, right_value(name, value).strip('"'))


def test_the_last_value_counts() -> None:
    text = "options nvidia NVreg_EnableStreamMemOPs=1 NVreg_EnableStreamMemOPs=0\n"
    last = find_last([File("/etc/modprobe.d/a.conf", "file", text)], MEM_OPS)
    assert last is not None
    assert (last.value, text[last.start : last.end]) == ("0", "NVreg_EnableStreamMemOPs=0")


def test_a_reboot_is_due_when_the_loaded_module_differs_from_the_file() -> None:
    made = decide("h", replace(FIT, driver=Driver((("EnableStreamMemOPs", "0"), ("RegistryDwords", "")), True)), ())
    assert made.reboot
    assert notes(made, "WARN")[0][1].startswith('the loaded driver has EnableStreamMemOPs "0"')
    assert made.findings[0].fix.startswith("Reboot it: the files have the keys")
    assert not made.steps


@pytest.mark.parametrize(
    ("line", "hindered"),
    [
        ("quiet nvidia.NVreg_EnableStreamMemOPs=0", True),
        ('nvidia.NVreg_RegistryDwords="A=1;" quiet', True),
        ('"nvidia.NVreg_RegistryDwords=A=1;PeerMappingOverride=1" nvidia.NVreg_EnableStreamMemOPs=1', False),
        ("xnvidia.NVreg_EnableStreamMemOPs=0 nvidia.NVreg_X=0", False),
    ],
)
def test_the_kernels_command_line_beats_every_file(line: str, hindered: bool) -> None:
    made = decide("h", with_file(FIT, "/proc/cmdline", f"{line}\n"), (), ["ibgda.params"])
    assert (made.hindered, bool(made.steps)) == (hindered, False)


@pytest.mark.parametrize(("tools", "rebuild"), [(("dracut",), ("dracut", "-f", "--regenerate-all")), ((), ())])
def test_the_initramfs_is_made_anew_by_whoever_makes_it(tools: tuple[str, ...], rebuild: tuple[str, ...]) -> None:
    made = decide("h", replace(FIT, files=(), tools=tools), (), ["ibgda.params"])
    assert {edit.settle for edit in made.steps.edits} == {rebuild}
    assert bool(notes(made, "WARN")) == (not rebuild)


def test_owed_from_before_is_done_without_any_edit() -> None:
    owed = replace(FIT, journal=Journal(owed=(("systemctl", "daemon-reload"),)))
    assert decide("h", owed, ()).steps.settle == (("systemctl", "daemon-reload"),)


def test_hosts_without_gpus_or_adapters_say_so() -> None:
    bare = decide("h", replace(FIT, gpus=Gpus(0), driver=Driver(), adapters=0, loaded=(), files=()), ())
    skipped = {check for check, _ in notes(bare, "SKIP")}
    assert skipped == {"sys.modules", "ibgda.params", "ibgda.gdrcopy", "ibgda.mem_reg", "ib.uverbs", "gpu.persistence"}
    assert not bare.steps


@pytest.mark.parametrize(
    ("path", "checks"),
    [
        ("/etc/modprobe.d/site.conf", ["ibgda.params"]),
        ("/usr/lib/sysctl.d/50-a.conf", ["sys.nproc", "sys.numa_balancing", "net.ephemeral"]),
        ("/etc/security/limits.conf", ["sys.memlock", "sys.nofile", "sys.nproc"]),
        ("/etc/ssh/sshd_config", []),
    ],
)
def test_what_cannot_be_read_is_not_overruled(path: str, checks: list[str]) -> None:
    shut = File(path, "file", problem="Permission denied")
    made = decide("h", replace(FIT, files=(*FIT.files, shut)), (8000,))
    assert [check for check, _ in notes(made, "UNKNOWN")] == checks
    assert all(f"{path} can't be read: Permission denied" in seen for _, seen in notes(made, "UNKNOWN"))
    assert not made.steps


# Modules


def without(seen: Seen, *modules: str) -> Seen:
    return replace(seen, loaded=tuple(name for name in seen.loaded if name not in modules))


def test_a_module_is_loaded_now_and_at_boot() -> None:
    made = decide("h", without(FIT, "gdrdrv"), ())
    assert commands(made) == ["modprobe gdrdrv"]
    assert [edit.after.splitlines()[-1] for edit in made.steps.edits] == ["gdrdrv"]


def test_one_that_is_configured_is_only_loaded() -> None:
    made = decide("h", with_file(without(FIT, "gdrdrv"), "/etc/modules", "lp\ngdrdrv\n"), ())
    assert (commands(made), made.steps.edits) == (["modprobe gdrdrv"], ())


@pytest.mark.parametrize(
    ("family", "package"), [("debian", "gdrdrv-dkms"), ("rhel", "gdrcopy-kmod"), ("", "gdrdrv-dkms or")]
)
def test_one_that_is_not_installed_names_its_package(family: str, package: str) -> None:
    made = decide("h", replace(without(FIT, "gdrdrv"), available=(), family=family), ())
    assert not made.steps
    assert package in made.findings[0].fix


@pytest.mark.parametrize(("dma_buf", "wanted"), [(True, []), (False, ["modprobe nvidia_peermem"])])
def test_peermem_is_for_a_driver_without_dma_buf(dma_buf: bool, wanted: list[str]) -> None:
    assert commands(decide("h", replace(FIT, driver=Driver(KEYS, dma_buf)), ())) == wanted


# Limits

NEEDY = replace(FIT, session=replace(FIT.session, memlock=65536, nofile=1024))


def test_limits_are_written_once_for_all_and_for_root() -> None:
    text = after(NEEDY)["/etc/security/limits.d/zz-dsr1.conf"]
    assert text.splitlines()[1:] == [
        "* - memlock unlimited",
        "root - memlock unlimited",
        "* - nofile 1048576",
        "root - nofile 1048576",
    ]
    again = decide("h", with_file(NEEDY, "/etc/security/limits.d/zz-dsr1.conf", text), ())
    assert not again.steps
    assert [check for check, _ in notes(again, "WARN")] == ["sys.memlock", "sys.nofile"]


def test_nofile_is_never_above_what_the_kernel_allows() -> None:
    """PAM would refuse every login."""
    seen = replace(
        NEEDY, sysctls=(*(pair for pair in NEEDY.sysctls if pair[0] != "fs.nr_open"), ("fs.nr_open", "70000"))
    )
    assert "* - nofile 70000\n" in after(seen)["/etc/security/limits.d/zz-dsr1.conf"]


@pytest.mark.parametrize("line", ["ml hard memlock 64", "@gpu - memlock 64\n* - memlock unlimited"])
def test_a_line_that_beats_ours_is_named(line: str) -> None:
    made = decide("h", with_file(NEEDY, "/etc/security/limits.conf", f"{line}\n"), (), ["sys.memlock"])
    assert not made.steps
    assert made.hindered
    assert line.split()[0] in made.findings[0].seen


def test_whose_limit_counts() -> None:
    lines = "* hard memlock 1\n@gpu hard memlock 2\nroot hard memlock 3\nml soft memlock 9\n"
    assert by_pam(with_file(FIT, "/etc/security/limits.conf", lines), "memlock") == ("@gpu", "2")
    other = replace(FIT, session=replace(FIT.session, user="x", groups=()))
    assert by_pam(with_file(other, "/etc/security/limits.conf", lines), "memlock") == ("", "1")
    assert by_pam(FIT, "memlock") == ("", None)


SSHD = "/etc/ssh/sshd_config"


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({SSHD: "UsePAM yes\n"}, True),
        ({SSHD: "usepam no\nUsePAM yes\n"}, False),
        ({SSHD: "UsePAM no\n", "/etc/ssh/sshd_config.d/50.conf": "UsePAM yes\n"}, True),
        ({SSHD: "Port 22\n"}, False),
        ({}, None),
    ],
)
def test_whether_sshd_asks_pam(files: dict[str, str], told: bool | None) -> None:
    assert uses_pam(reduce(lambda seen, item: with_file(seen, *item), files.items(), FIT)) is told


def test_sshd_without_pam_gets_a_drop_in_and_is_not_restarted() -> None:
    seen = replace(with_file(NEEDY, SSHD, "UsePAM no\n"), services=(Service("sshd", True, True),))
    made = decide("h", seen, ())
    (edit,) = made.steps.edits
    assert edit.path == "/etc/systemd/system/sshd.service.d/dsr1.conf"
    assert edit.after.splitlines()[1:] == ["[Service]", "LimitMEMLOCK=infinity", "LimitNOFILE=1048576"]
    assert edit.settle == ("systemctl", "daemon-reload")
    assert made.steps.commands == ()
    assert "systemctl restart sshd" in made.findings[0].fix
    assert not decide("h", with_file(seen, edit.path, edit.after), ()).steps


UNIT = "/usr/lib/systemd/system/slurmd.service"


@pytest.mark.parametrize(
    ("unit", "written"),
    [
        ("[Service]\nLimitMEMLOCK=infinity\nLimitNOFILE=131072\n", []),
        ("[Service]\nLimitMEMLOCK=8M:infinity\n", []),
        ("[Service]\n", ["LimitMEMLOCK=infinity"]),
        ("[Service]\nLimitMEMLOCK=infinity\nLimitNOFILE=1024\n", ["LimitNOFILE=1048576"]),
    ],
)
def test_slurmd_hands_its_limits_on(unit: str, written: list[str]) -> None:
    seen = replace(with_file(FIT, UNIT, unit), services=(Service("slurmd", True, True),))
    assert [text.splitlines()[2:] for text in after(seen).values()] == ([written] if written else [])


@pytest.mark.parametrize(
    ("conf", "warned"),
    [
        ("", 0),
        ("ClusterName=x\n", 1),
        ("PropagateResourceLimitsExcept=CORE,MEMLOCK\n", 0),
        ("propagateresourcelimits=NONE\n", 0),
        ("#PropagateResourceLimitsExcept=MEMLOCK\n", 1),
    ],
)
def test_slurm_conf_is_left_to_a_person(conf: str, warned: int) -> None:
    seen = with_file(with_file(FIT, UNIT, "LimitMEMLOCK=infinity\n"), "/etc/slurm/slurm.conf", conf)
    made = decide("h", replace(seen, services=(Service("slurmd", True, True),)), ())
    assert len(notes(made, "WARN")) == warned
    assert not made.steps


def test_drop_ins_have_the_last_word() -> None:
    seen = with_file(
        with_file(FIT, UNIT, "LimitNOFILE=1\n"), "/run/systemd/system/slurmd.service.d/a.conf", "LimitNOFILE=2\n"
    )
    assert of_unit(seen, "slurmd", "LimitNOFILE", "") == "2"
    assert of_unit(seen, "slurmd", "LimitCORE", "none") == "none"


# The kernel's variables

WIDE = replace(
    FIT,
    sysctls=(*(pair for pair in FIT.sysctls if "port" not in pair[0]), ("net.ipv4.ip_local_port_range", "1024 65000")),
)
OURS = "/etc/sysctl.d/99-zz-dsr1.conf"
PORTS_KEY = "net.ipv4.ip_local_reserved_ports"


@pytest.mark.parametrize(
    ("now", "files", "written", "value"),
    [
        ("", {}, "8000,20003", "8000,20003"),
        ("9000-9002", {}, "8000,9000-9002,20003", "8000,9000-9002,20003"),
        ("8000-30000", {}, None, None),
        ("", {"/etc/sysctl.d/50-a.conf": f"{PORTS_KEY}=20003,8000\n"}, None, "8000,20003"),
        ("", {"/etc/sysctl.d/50-a.conf": f"{PORTS_KEY} = 7000\n"}, "7000,8000,20003", "7000,8000,20003"),
        ("8000,20003", {"/etc/sysctl.conf": f"{PORTS_KEY}=7000\n"}, "7000,8000,20003", None),
    ],
)
def test_reserved_ports_are_added_to(now: str, files: dict[str, str], written: str | None, value: str | None) -> None:
    seen = reduce(lambda seen, item: with_file(seen, *item), files.items(), WIDE)
    made = decide("h", replace(seen, sysctls=(*seen.sysctls, (PORTS_KEY, now))), (8000, 20003), ["net.ephemeral"])
    assert [edit.after.splitlines()[-1] for edit in made.steps.edits] == (
        [f"{PORTS_KEY} = {written}"] if written else []
    )
    assert [setting.after for setting in made.steps.settings] == ([value] if value else [])


@pytest.mark.parametrize(
    ("now", "files", "written", "set_"),
    [
        ("0", {}, False, False),
        ("1", {}, True, True),
        ("1", {"/usr/lib/sysctl.d/50-a.conf": "kernel.numa_balancing=0"}, False, True),
        ("0", {"/etc/sysctl.d/50-a.conf": "-kernel/numa_balancing = 1 \n"}, True, False),
        ("1", {OURS: "kernel.numa_balancing = 1\n# mine\n"}, True, True),
    ],
)
def test_numa_balancing_is_off_now_and_at_boot(now: str, files: dict[str, str], written: bool, set_: bool) -> None:
    seen = reduce(lambda seen, item: with_file(seen, *item), files.items(), FIT)
    made = decide("h", replace(seen, sysctls=(("kernel.numa_balancing", now),)), (), ["sys.numa_balancing"])
    assert [OURS] * written == [edit.path for edit in made.steps.edits]
    assert ["0"] * set_ == [setting.after for setting in made.steps.settings]
    if "# mine" in files.get(OURS, ""):
        assert made.steps.edits[0].after == "kernel.numa_balancing = 0\n# mine\n"


def test_nonsense_in_the_kernel_is_unknown() -> None:
    seen = replace(FIT, sysctls=(("net.ipv4.ip_local_port_range", "low high"), ("kernel.pid_max", "many")))
    assert [check for check, _ in notes(decide("h", seen, (8000,)), "UNKNOWN")] == ["sys.nproc", "net.ephemeral"]


@pytest.mark.parametrize(
    ("ports", "told"), [(set(), ""), ({1}, "1"), ({3, 1, 2, 9}, "1-3,9"), ({8000, 20003, 20004}, "8000,20003-20004")]
)
def test_ports_as_the_kernel_tells_them(ports: set[int], told: str) -> None:
    assert render_ports(ports) == told


# /dev/shm and persistence


@pytest.mark.parametrize(
    ("total", "size", "fstab", "edited", "remounted"),
    [
        (2000, 1000, "tmpfs /dev/shm tmpfs size=80% 0 0", False, False),
        (2000, 8, "", False, True),
        (2000, 8, "tmpfs /dev/shm tmpfs rw,size=8G,nodev 0 0", True, True),
        (2000, 1000, "x /dev/shm tmpfs size=8388608k 0 0", True, False),
        (2000, 8, "# tmpfs /dev/shm tmpfs size=8G 0 0", False, True),
        (24, 12, "", False, False),
    ],
)
def test_shm(total: int, size: int, fstab: str, edited: bool, remounted: bool) -> None:
    made = decide("h", replace(with_file(FIT, "/etc/fstab", fstab), memory=Memory(total * GIB, size * GIB)), ())
    assert [edit.after for edit in made.steps.edits] == [fstab.replace("8G", "50%").replace("8388608k", "50%")] * edited
    assert commands(made) == ["mount -o remount,size=50% /dev/shm"] * remounted
    assert bool(notes(made, "WARN")) == (total == 24)


@pytest.mark.parametrize(
    ("text", "size"), [("8G", 8 * GIB), ("50%", 50.0), ("1024", 1024), ("", 0), ("8 G", 0), ("';id", 0)]
)
def test_sizes_of_tmpfs(text: str, size: float) -> None:
    assert size_of(text, 100) == size


OFF = replace(FIT, gpus=Gpus(8, (1,) * 7 + (0,)))
DAEMON = "/lib/systemd/system/nvidia-persistenced.service"


def test_persistence_by_the_daemon() -> None:
    seen = replace(OFF, services=(Service("nvidia-persistenced", False, False),))
    made = decide("h", with_file(seen, DAEMON, "ExecStart=/usr/bin/nvidia-persistenced --user a\n"), ())
    assert made.steps.edits == ()
    assert commands(made) == ["systemctl enable nvidia-persistenced", "systemctl restart nvidia-persistenced"]
    assert [" ".join(step.undo) for step in made.steps.commands] == [
        "systemctl disable nvidia-persistenced",
        "systemctl stop nvidia-persistenced",
    ]


def test_persistence_without_the_daemon_lasts_until_a_boot_and_says_so() -> None:
    made = decide("h", OFF, ())
    assert commands(made) == ["nvidia-smi -pm 1"]
    assert "until the next boot" in made.findings[0].seen
    assert commands(decide("h", replace(OFF, tools=()), ())) == []


def test_a_driver_that_does_not_answer_is_unknown() -> None:
    made = decide("h", replace(FIT, gpus=Gpus(8, (), "NVML does not tell it: hangs")), ())
    assert notes(made, "UNKNOWN") == [("gpu.persistence", "NVML does not tell it: hangs")]
    assert not made.steps


# Texts

LINES: list[tuple[str, str]] = [
    ("", "# h\nk = 1\n"),
    ("a\n", "a\nk = 1\n"),
    ("a", "a\nk = 1\n"),
    ("k = 0\na\nk=2\n", "k = 1\na\n"),
    ("kk = 0\n", "kk = 0\nk = 1\n"),
    ("\n\n", "\n\nk = 1\n"),
]


@pytest.mark.parametrize(("text", "wanted"), LINES)
def test_a_line_is_put_in_its_place_once(text: str, wanted: str) -> None:
    put: Callable[[str], str] = lambda text: with_line(text, "k = 1", r"k\s*=", "# h\n")  # noqa: E731
    assert put(text) == wanted
    assert put(wanted) == wanted
