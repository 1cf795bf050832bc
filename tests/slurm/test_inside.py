"""Inside a job: unfit nodes left out, engines side by side, heterogeneous jobs; what sbatch says
when it refuses."""

import pytest
from tests.answers import data_of, phases_of
from tests.cluster.login import MOCKER, Login, assert_clean, of_a_run
from tests.slurm.site import Site
from tests.slurm.test_launch import TINY

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.e2e,
    pytest.mark.slurm,
    pytest.mark.xdist_group("slurm"),
]


def test_a_spare_takes_the_place_of_a_node_that_fails_a_check(site: Site, login: Login) -> None:
    """The model is not there on the first node, whose supervisor goes on all the same."""
    site.must("node1", f"mount -t tmpfs tmpfs {TINY[-1]}")
    try:
        launched = login.dsr1(
            "launch", *TINY, *MOCKER, "--slurm", "--name", "spare", "--set", "slurm.spares=1"
        )
    finally:
        site.must("node1", f"umount {TINY[-1]}")
    assert launched.returncode == 0, launched.stderr
    assert {row["host"] for row in login.status("spare")["ranks"]} == {"node2", "node3"}  # type: ignore[attr-defined]
    assert not any("mocker" in line for line in of_a_run(site.cluster, "node1"))
    assert login.dsr1("stop", "spare").returncode == 0
    assert_clean(site.cluster, "login", *site.nodes)


def test_without_a_spare_the_node_and_the_check_are_named(site: Site, login: Login) -> None:
    site.must("node2", f"mount -t tmpfs tmpfs {TINY[-1]}")
    try:
        refused = login.dsr1("launch", *TINY, *MOCKER, "--slurm", "--name", "unfit")
    finally:
        site.must("node2", f"umount {TINY[-1]}")
    assert (refused.returncode, "node2: model." in refused.stderr) == (3, True), refused.stderr
    assert_clean(site.cluster, "login", *site.nodes)


def test_prefill_and_decode_share_an_allocation_and_values_keep_their_commas(
    site: Site, login: Login
) -> None:
    engines = (
        "engines={p: {role: prefill, nodes: 1, env: {LIST: 'a,b;$(id)'}}, d: {role: decode,"
        " nodes: 1}}"
    )
    launched = login.dsr1(
        "launch", *TINY, *MOCKER, "--slurm", "--name", "pd", "--set", engines, "--nodes", "2"
    )
    assert launched.returncode == 0, launched.stderr
    assert {row["host"] for row in login.status("pd")["ranks"]} == {"node1", "node2"}  # type: ignore[attr-defined]
    pid = next(pid for pid, line in site.cluster.processes("node1", "launch") if "prefill" in line)
    told = site.cluster.run("node1", ("cat", f"/proc/{pid}/environ"), user="root").stdout.split(
        "\0"
    )
    assert "LIST=a,b;$(id)" in told
    assert login.dsr1("stop", "pd").returncode == 0


def test_a_heterogeneous_job_is_one_allocation(site: Site, login: Login) -> None:
    script = login.dsr1("render", *TINY, *MOCKER, "--sbatch", "--name", "het").stdout
    first, rest = script.split("#SBATCH --nodes=2\n")
    login.write("het.sh", f"{first}#SBATCH --nodes=1\n#SBATCH hetjob\n#SBATCH --nodes=1\n{rest}")
    submitted = site.user("sbatch", "--parsable", "het.sh")
    assert submitted.returncode == 0, submitted.stderr
    assert site.await_phase(login, "het", "ready", "failed") == "ready", login.status("het")[
        "reason"
    ]
    hosts = {row["host"] for row in login.status("het")["ranks"]}  # type: ignore[attr-defined]
    assert data_of(login.dsr1("status", "het", "--ports", "--json").stdout).keys() == hosts
    assert len(hosts) == 2
    assert login.dsr1("stop", "het").returncode == 0
    assert_clean(site.cluster, "login", *site.nodes)


def test_sbatchs_own_words(site: Site, login: Login) -> None:
    for words, more in (
        ("invalid partition", ("--partition", "nope")),
        ("group not permitted", ("--partition", "closed")),
        ("node configuration is not available", ("--set", "slurm.spares=7")),
        ("node configuration is not available", ("--set", "slurm.gpus_per_node=9")),
    ):
        refused = login.dsr1("launch", *TINY, *MOCKER, "--slurm", *more)
        assert refused.returncode == 2, refused.stderr
        assert words in refused.stderr.lower()
    assert phases_of(login.dsr1("ps", "--json").stdout).keys() <= {"spare", "unfit", "pd", "het"}


def test_the_folder_of_runs_is_closed_to_us(site: Site, login: Login) -> None:
    """sbatch would take it, and the job end without a word."""
    elsewhere = Login(site.cluster, {"DSR1_STATE_DIR": "/proc/none"})
    refused = elsewhere.dsr1("launch", *TINY, *MOCKER, "--slurm")
    assert (refused.returncode, "Traceback" in refused.stderr) in (
        (2, False),
        (4, False),
    ), refused.stderr
    assert "/proc/none" in refused.stderr


def test_a_run_of_another_user(site: Site, login: Login) -> None:
    job = site.cluster.run(
        "login", ("sbatch", "--parsable", "--wrap", "sleep 30"), user="root"
    ).stdout.strip()
    told = login.dsr1("status", f"slurm://lab/{job}")
    site.root("scancel", job)
    assert told.returncode == 5
    assert "of root" in told.stderr
