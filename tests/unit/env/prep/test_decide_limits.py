"""Modules, and the limits of whoever starts workers: a login, a user's session, slurmd."""

from dataclasses import replace
from functools import reduce

import pytest
from tests.unit.env.prep.probes import FIT, KEYS, NEEDY, after, commands, notes, with_file

from dsr1.env.prep.decide import decide
from dsr1.env.prep.limits import of_unit, pam_limit, uses_pam
from dsr1.hosts.protocol.prep import Driver, HostProbe, SystemdUnit


def without(seen: HostProbe, *modules: str) -> HostProbe:
    return replace(seen, loaded=tuple(name for name in seen.loaded if name not in modules))


def test_a_module_is_loaded_now_and_at_boot() -> None:
    made = decide("h", without(FIT, "gdrdrv"), ())
    assert commands(made) == ["modprobe gdrdrv"]
    assert [edit.after.splitlines()[-1] for edit in made.steps.edits] == ["gdrdrv"]


def test_one_that_is_configured_is_only_loaded() -> None:
    made = decide("h", with_file(without(FIT, "gdrdrv"), "/etc/modules", "lp\ngdrdrv\n"), ())
    assert (commands(made), made.steps.edits) == (["modprobe gdrdrv"], ())


@pytest.mark.parametrize(
    ("family", "package"),
    [("debian", "gdrdrv-dkms"), ("rhel", "gdrcopy-kmod"), ("", "gdrdrv-dkms or")],
)
def test_one_that_is_not_installed_names_its_package(family: str, package: str) -> None:
    made = decide("h", replace(without(FIT, "gdrdrv"), available=(), family=family), ())
    assert not made.steps
    assert package in made.findings[0].fix


@pytest.mark.parametrize(("dma_buf", "wanted"), [(True, []), (False, ["modprobe nvidia_peermem"])])
def test_peermem_is_for_a_driver_without_dma_buf(dma_buf: bool, wanted: list[str]) -> None:
    assert commands(decide("h", replace(FIT, driver=Driver(KEYS, dma_buf)), ())) == wanted


# Limits


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
        NEEDY,
        sysctls=(
            *(pair for pair in NEEDY.sysctls if pair[0] != "fs.nr_open"),
            ("fs.nr_open", "70000"),
        ),
    )
    assert "* - nofile 70000\n" in after(seen)["/etc/security/limits.d/zz-dsr1.conf"]


@pytest.mark.parametrize("line", ["ml hard memlock 64", "@gpu - memlock 64\n* - memlock unlimited"])
def test_a_line_that_beats_ours_is_named(line: str) -> None:
    made = decide(
        "h", with_file(NEEDY, "/etc/security/limits.conf", f"{line}\n"), (), ["sys.memlock"]
    )
    assert not made.steps
    assert made.hindered
    assert line.split()[0] in made.findings[0].seen


def test_whose_limit_counts() -> None:
    lines = "* hard memlock 1\n@gpu hard memlock 2\nroot hard memlock 3\nml soft memlock 9\n"
    assert pam_limit(with_file(FIT, "/etc/security/limits.conf", lines), "memlock") == (
        "@gpu",
        "2",
    )
    other = replace(FIT, session=replace(FIT.session, user="x", groups=()))
    assert pam_limit(with_file(other, "/etc/security/limits.conf", lines), "memlock") == (
        "",
        "1",
    )
    assert pam_limit(FIT, "memlock") == ("", None)


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
    seen = replace(
        with_file(NEEDY, SSHD, "UsePAM no\n"), services=(SystemdUnit("sshd", True, True),)
    )
    made = decide("h", seen, ())
    (edit,) = made.steps.edits
    assert edit.path == "/etc/systemd/system/sshd.service.d/dsr1.conf"
    assert edit.after.splitlines()[1:] == [
        "[Service]",
        "LimitMEMLOCK=infinity",
        "LimitNOFILE=1048576",
    ]
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
    seen = replace(with_file(FIT, UNIT, unit), services=(SystemdUnit("slurmd", True, True),))
    assert [text.splitlines()[2:] for text in after(seen).values()] == (
        [written] if written else []
    )


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
    made = decide("h", replace(seen, services=(SystemdUnit("slurmd", True, True),)), ())
    assert len(notes(made, "WARN")) == warned
    assert not made.steps


def test_drop_ins_have_the_last_word() -> None:
    seen = with_file(
        with_file(FIT, UNIT, "LimitNOFILE=1\n"),
        "/run/systemd/system/slurmd.service.d/a.conf",
        "LimitNOFILE=2\n",
    )
    assert of_unit(seen, "slurmd", "LimitNOFILE", "") == "2"
    assert of_unit(seen, "slurmd", "LimitCORE", "none") == "none"
