"""A deployment in a job, from launch to stop, on a real Slurm."""

import pytest
from tests.answers import data_of
from tests.cluster.login import MOCKER, MODEL, RUNTIME, Login, assert_clean
from tests.slurm.site import Site

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.e2e,
    pytest.mark.slurm,
    pytest.mark.xdist_group("slurm"),
]
TINY = ("tiny", "--venv", str(RUNTIME), "--model", str(MODEL))


def test_from_launch_to_stop(site: Site, login: Login) -> None:
    launched = login.dsr1("launch", *TINY, *MOCKER, "--slurm", "--name", "a")
    assert launched.returncode == 0, launched.stderr
    handle = str(login.status("a")["job"])
    assert handle.startswith("slurm://lab/")
    assert login.status(handle)["alive"] == ["etcd", "frontend", "main-0", "main-1"]
    assert len(data_of(login.dsr1("smoke", handle, "--json").stdout)["answers"]) == 2
    lines = login.dsr1("logs", handle).stdout.splitlines()
    assert {line.split(":")[0] for line in lines} >= {"etcd", "frontend", "main-0", "main-1"}
    doors = data_of(login.dsr1("status", handle, "--ports", "--json").stdout)
    assert {door["process"] for door in doors["node1"]} == {"etcd", "frontend", "main-0"}
    assert "nothing of it is alive" in login.dsr1("stop", handle).stdout
    assert (login.status("a")["phase"], login.status("a")["reason"]) == ("stopped", "asked to stop")
    assert_clean(site.cluster, "login", *site.nodes)
    assert site.idle() == 3


def test_the_rendered_script_by_sbatch(site: Site, login: Login) -> None:
    """Under a hostile environment: SBATCH_EXPORT hides everything from the job."""
    script = login.dsr1("render", *TINY, *MOCKER, "--sbatch").stdout
    login.write("job.sh", script)
    submitted = site.user("sbatch", "--parsable", "--export=NONE", "job.sh")
    job = submitted.stdout.strip()
    handle = f"slurm://lab/{job}"
    assert site.await_phase(login, f"tiny-{job}", "ready", "failed") == "ready", site.output(job)
    assert login.dsr1("smoke", handle).returncode == 0
    assert login.dsr1("stop", handle).returncode == 0
    assert site.state(job) == "COMPLETED"
    assert_clean(site.cluster, "login", *site.nodes)
