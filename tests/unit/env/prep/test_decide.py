"""What is decided of what a host told: the driver's options, nothing asked for twice, and what is
left to a person."""

from dataclasses import replace
from functools import reduce

import pytest
from tests.docs.blocks import ROOT
from tests.unit.env.prep.probes import FIT, READY, after, notes, with_file

from dsr1.env.prep.decide import IDS, decide
from dsr1.env.prep.driver import DWORDS, MEM_OPS, find_last, is_right, right_value
from dsr1.hosts.protocol.prep import Driver, FileState, Gpus, PrepJournal


def test_a_fit_host_needs_nothing() -> None:
    made = decide("h", FIT, (8000, 20003))
    assert not made.steps
    assert made.findings == ()
    assert not made.reboot


def test_every_part_is_named_by_a_check() -> None:
    headings = [
        line[3:]
        for line in (ROOT / "docs" / "checks.md").read_text().splitlines()
        if line.startswith("## ")
    ]
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
        {
            "a": (
                'options nvidia "NVreg_RegistryDwords=A=0x1;PeerMappingOverride=0"'
                " NVreg_EnableStreamMemOPs=1\n"
            )
        },
        {
            "a": (
                'options nvidia NVreg_RegistryDwords="A=0x1;PeerMappingOverride=1;"'
                " NVreg_EnableStreamMemOPs=1\n"
            )
        },
    ),
    (
        {"a": "options nvidia NVreg_RegistryDwords=B=2; \\\n  NVreg_EnableStreamMemOPs=0\n"},
        {
            "a": (
                'options nvidia NVreg_RegistryDwords="B=2;PeerMappingOverride=1;" \\\n '
                " NVreg_EnableStreamMemOPs=1\n"
            )
        },
    ),
    (
        {"a": READY, "b": 'options nvidia NVreg_RegistryDwords=""\n'},
        {"b": 'options nvidia NVreg_RegistryDwords="PeerMappingOverride=1;"\n'},
    ),
    ({"a": f"#{READY}options nvidia-drm modeset=1\n"}, {"zz-dsr1": READY}),
]


@pytest.mark.parametrize(("there", "wanted"), MODPROBE)
def test_keys_are_put_where_they_are_read_last(
    there: dict[str, str], wanted: dict[str, str]
) -> None:
    seen = replace(
        FIT,
        files=tuple(
            FileState(f"/etc/modprobe.d/{name}.conf", "file", text) for name, text in there.items()
        ),
    )
    told = after(seen, "ibgda.params")
    assert {
        path.split("/")[-1][:-5]: text.split("take it back.\n")[-1] for path, text in told.items()
    } == {
        name: (
            text
            if name in there
            else "# Written by `dsr1 prep`; `dsr1 prep --undo` takes it back.\n" + text
        )
        for name, text in wanted.items()
    }
    again = reduce(lambda seen, item: with_file(seen, *item), told.items(), seen)
    assert after(again, "ibgda.params") == {}


def test_a_packages_file_is_overruled_not_changed() -> None:
    text = 'options nvidia NVreg_RegistryDwords="A=1"\n'
    seen = replace(FIT, files=(FileState("/usr/lib/modprobe.d/nvidia.conf", "file", text),))
    assert list(after(seen, "ibgda.params")) == ["/etc/modprobe.d/zz-dsr1.conf"]
    assert (
        'NVreg_RegistryDwords="A=1;PeerMappingOverride=1;"'
        in after(seen, "ibgda.params").popitem()[1]
    )


def test_a_file_in_etc_hides_its_namesake() -> None:
    hidden = FileState(
        "/usr/lib/modprobe.d/nvidia.conf", "file", "options nvidia NVreg_EnableStreamMemOPs=0\n"
    )
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
    last = find_last([FileState("/etc/modprobe.d/a.conf", "file", text)], MEM_OPS)
    assert last is not None
    assert (last.value, text[last.start : last.end]) == ("0", "NVreg_EnableStreamMemOPs=0")


def test_a_reboot_is_due_when_the_loaded_module_differs_from_the_file() -> None:
    made = decide(
        "h",
        replace(FIT, driver=Driver((("EnableStreamMemOPs", "0"), ("RegistryDwords", "")), True)),
        (),
    )
    assert made.reboot
    assert notes(made, "WARN")[0][1].startswith('the loaded driver has EnableStreamMemOPs "0"')
    assert made.findings[0].fix.startswith("Reboot the host: the files have the keys")
    assert not made.steps


@pytest.mark.parametrize(
    ("line", "hindered"),
    [
        ("quiet nvidia.NVreg_EnableStreamMemOPs=0", True),
        ('nvidia.NVreg_RegistryDwords="A=1;" quiet', True),
        (
            (
                '"nvidia.NVreg_RegistryDwords=A=1;PeerMappingOverride=1"'
                " nvidia.NVreg_EnableStreamMemOPs=1"
            ),
            False,
        ),
        ("xnvidia.NVreg_EnableStreamMemOPs=0 nvidia.NVreg_X=0", False),
    ],
)
def test_the_kernels_command_line_beats_every_file(line: str, hindered: bool) -> None:
    made = decide("h", with_file(FIT, "/proc/cmdline", f"{line}\n"), (), ["ibgda.params"])
    assert (made.hindered, bool(made.steps)) == (hindered, False)


@pytest.mark.parametrize(
    ("tools", "rebuild"), [(("dracut",), ("dracut", "-f", "--regenerate-all")), ((), ())]
)
def test_the_initramfs_is_made_anew_by_whoever_makes_it(
    tools: tuple[str, ...], rebuild: tuple[str, ...]
) -> None:
    made = decide("h", replace(FIT, files=(), tools=tools), (), ["ibgda.params"])
    assert {edit.settle for edit in made.steps.edits} == {rebuild}
    assert bool(notes(made, "WARN")) == (not rebuild)


def test_owed_from_before_is_done_without_any_edit() -> None:
    owed = replace(FIT, journal=PrepJournal(owed=(("systemctl", "daemon-reload"),)))
    assert decide("h", owed, ()).steps.settle == (("systemctl", "daemon-reload"),)


def test_hosts_without_gpus_or_adapters_say_so() -> None:
    bare = decide(
        "h", replace(FIT, gpus=Gpus(0), driver=Driver(), adapters=0, loaded=(), files=()), ()
    )
    skipped = {check for check, _ in notes(bare, "SKIP")}
    assert skipped == {
        "sys.modules",
        "ibgda.params",
        "ibgda.gdrcopy",
        "ibgda.mem_reg",
        "ib.uverbs",
        "gpu.persistence",
    }
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
    shut = FileState(path, "file", problem="Permission denied")
    made = decide("h", replace(FIT, files=(*FIT.files, shut)), (8000,))
    assert [check for check, _ in notes(made, "UNKNOWN")] == checks
    assert all(
        f"{path} can't be read: Permission denied" in seen for _, seen in notes(made, "UNKNOWN")
    )
    assert not made.steps


# Modules
