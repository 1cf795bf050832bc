"""A deployment in a job, from launch to stop, on a real Slurm."""

import pytest
from tests.answers import data_of
from tests.built import MODEL, RUNTIME
from tests.cluster.login import MOCKER, Login, assert_clean
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


def test_inside_of_salloc_and_while_slurm_is_down(site: Site, login: Login) -> None:
    """Two runs: one in an allocation of its user's, which stays, one in a job of its own."""
    one = ("--set", "engines.main.nodes=1", "--slurm")
    for words, more in (
        ("gpu has 3 nodes, and allows a job 7-00:00:00", ("--time", "9-0")),
        ("was granted 60 s (partition brief, its default", ("--partition", "brief")),
    ):
        refused = login.dsr1("launch", *TINY, *MOCKER, *one, *more)
        assert (refused.returncode, words in refused.stderr) == (2, True), refused.stderr
    drafted = login.dsr1("init", "--slurm", "-o", "-").stdout
    assert "partition: gpu  # 3 nodes, gpu:h100:8, limit 7-00:00:00" in drafted, drafted
    assert "account: science" in drafted
    with site.salloc(nodes=2) as env:
        job = env["SLURM_JOB_ID"]
        inside = Login(site.cluster, env)
        own = ("--set", "slurm.srun=['--comment=of a site']", "--name", "lent")
        launched = inside.dsr1("launch", *TINY, *MOCKER, *own)
        assert launched.returncode == 0, launched.stderr
        assert f"inside of Slurm's job {job}: launched on its nodes, " in launched.stderr
        submitted = login.dsr1("launch", *TINY, *MOCKER, *one, "--no-wait", "--name", "own")
        assert submitted.returncode == 0, submitted.stderr
        assert site.await_phase(login, "own", "ready", "failed") == "ready"
        told = {name: login.status(name) for name in ("lent", "own")}
        assert (told["lent"]["job"], told["lent"]["supervised"]) == (f"slurm://lab/{job}", True)
        assert [str(one["url"])[:7] for one in told.values()] == ["http://", "http://"]
        assert [one["note"] for one in told.values()] == ["", ""]
        node = str(told["own"]["hosts"]).strip("[']")
        site.must("login", f"scontrol update NodeName={node} State=DRAIN Reason=old-disk")
        assert f"{node} is draining (old-disk)" in str(login.status("own")["note"])
        site.must("login", f"scontrol update NodeName={node} State=RESUME")
        with site.without_controller():
            down = login.dsr1("status", "own").stdout
            assert "Slurm does not answer: squeue: " in down
            assert "{" not in down
            stopped = login.dsr1("stop", "own")
            assert stopped.returncode == 0, stopped.stderr
            assert_clean(site.cluster, node)
        assert inside.dsr1("smoke", "lent").returncode == 0
        assert inside.dsr1("stop", "lent").returncode == 0
        assert_clean(site.cluster, "login", *site.nodes)
        assert site.state(job) == "RUNNING"
        assert inside.dsr1("launch", *TINY, *MOCKER, *own, "--replace").returncode == 0
    assert site.await_phase(login, "lent", "stopped", "failed") == "stopped"
    assert f"its allocation, job {job}, has ended" in str(login.status("lent")["reason"])
    assert_clean(site.cluster, "login", *site.nodes)
