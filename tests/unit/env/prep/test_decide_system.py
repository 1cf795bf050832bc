"""What is decided of the kernel's variables, of /dev/shm, and of the driver's persistence."""

from collections.abc import Callable
from dataclasses import replace
from functools import reduce

import pytest
from tests.unit.env.prep.probes import FIT, GIB, commands, notes, with_file

from dsr1.env.prep.decide import decide
from dsr1.env.prep.kernel import render_ports
from dsr1.env.prep.shm import shm_size
from dsr1.env.prep.texts import with_line
from dsr1.hosts.protocol.prep import Gpus, Memory, SystemdUnit

# The kernel's variables

WIDE = replace(
    FIT,
    sysctls=(
        *(pair for pair in FIT.sysctls if "port" not in pair[0]),
        ("net.ipv4.ip_local_port_range", "1024 65000"),
    ),
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
        (
            "",
            {"/etc/sysctl.d/50-a.conf": f"{PORTS_KEY} = 7000\n"},
            "7000,8000,20003",
            "7000,8000,20003",
        ),
        ("8000,20003", {"/etc/sysctl.conf": f"{PORTS_KEY}=7000\n"}, "7000,8000,20003", None),
    ],
)
def test_reserved_ports_are_added_to(
    now: str, files: dict[str, str], written: str | None, value: str | None
) -> None:
    seen = reduce(lambda seen, item: with_file(seen, *item), files.items(), WIDE)
    made = decide(
        "h",
        replace(seen, sysctls=(*seen.sysctls, (PORTS_KEY, now))),
        (8000, 20003),
        ["net.ephemeral"],
    )
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
def test_numa_balancing_is_off_now_and_at_boot(
    now: str, files: dict[str, str], written: bool, set_: bool
) -> None:
    seen = reduce(lambda seen, item: with_file(seen, *item), files.items(), FIT)
    made = decide(
        "h", replace(seen, sysctls=(("kernel.numa_balancing", now),)), (), ["sys.numa_balancing"]
    )
    assert [OURS] * written == [edit.path for edit in made.steps.edits]
    assert ["0"] * set_ == [setting.after for setting in made.steps.settings]
    if "# mine" in files.get(OURS, ""):
        assert made.steps.edits[0].after == "kernel.numa_balancing = 0\n# mine\n"


def test_nonsense_in_the_kernel_is_unknown() -> None:
    seen = replace(
        FIT, sysctls=(("net.ipv4.ip_local_port_range", "low high"), ("kernel.pid_max", "many"))
    )
    assert [check for check, _ in notes(decide("h", seen, (8000,)), "UNKNOWN")] == [
        "sys.nproc",
        "net.ephemeral",
    ]


@pytest.mark.parametrize(
    ("ports", "told"),
    [(set(), ""), ({1}, "1"), ({3, 1, 2, 9}, "1-3,9"), ({8000, 20003, 20004}, "8000,20003-20004")],
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
    made = decide(
        "h",
        replace(with_file(FIT, "/etc/fstab", fstab), memory=Memory(total * GIB, size * GIB)),
        (),
    )
    assert [edit.after for edit in made.steps.edits] == [
        fstab.replace("8G", "50%").replace("8388608k", "50%")
    ] * edited
    assert commands(made) == ["mount -o remount,size=50% /dev/shm"] * remounted
    assert bool(notes(made, "WARN")) == (total == 24)


@pytest.mark.parametrize(
    ("text", "size"),
    [("8G", 8 * GIB), ("50%", 50.0), ("1024", 1024), ("", 0), ("8 G", 0), ("';id", 0)],
)
def test_sizes_of_tmpfs(text: str, size: float) -> None:
    assert shm_size(text, 100) == size


OFF = replace(FIT, gpus=Gpus(8, (1,) * 7 + (0,)))
DAEMON = "/lib/systemd/system/nvidia-persistenced.service"


def test_persistence_by_the_daemon() -> None:
    seen = replace(OFF, services=(SystemdUnit("nvidia-persistenced", False, False),))
    made = decide(
        "h", with_file(seen, DAEMON, "ExecStart=/usr/bin/nvidia-persistenced --user a\n"), ()
    )
    assert made.steps.edits == ()
    assert commands(made) == [
        "systemctl enable nvidia-persistenced",
        "systemctl restart nvidia-persistenced",
    ]
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
    made = decide("h", replace(FIT, gpus=Gpus(8, (), "NVML does not have it: hangs")), ())
    assert notes(made, "UNKNOWN") == [("gpu.persistence", "NVML does not have it: hangs")]
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
