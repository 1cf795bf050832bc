"""Whose a job is, on a real Slurm: whatever is changed of it, and whatever it is named."""

import pytest
from tests.cluster.login import MOCKER, Login, assert_clean
from tests.slurm.site import Site
from tests.slurm.test_ends import job_of
from tests.slurm.test_launch import TINY
from tests.waiting import until

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.e2e,
    pytest.mark.slurm,
    pytest.mark.xdist_group("slurm"),
]


def test_a_job_whose_name_and_comment_are_changed_is_the_run_s(site: Site, login: Login) -> None:
    """While it waits, and while it runs."""
    later = ("--no-wait", "--set", "slurm.directives=['--begin=now+1hour']")
    launched = login.dsr1("launch", *TINY, *MOCKER, "--slurm", "--name", "named", *later)
    assert launched.returncode == 0, launched.stderr
    job = job_of(login, "named")
    for change in ("JobName=mine", "Comment=by a plugin"):
        assert site.root("scontrol", "update", f"JobId={job}", change).returncode == 0
    until(lambda: f"job {job} waits (BeginTime)" in str(login.status("named")["reason"]))
    assert site.user("scontrol", "update", f"JobId={job}", "StartTime=now").returncode == 0
    assert site.await_phase(login, "named", "ready", "failed") == "ready", site.output(job)
    for change in ("JobName=another", "TimeLimit=50", "Comment="):
        assert site.root("scontrol", "update", f"JobId={job}", change).returncode == 0
    until(lambda: login.phase("named") == "ready")
    assert login.dsr1("rm", "named").returncode == 2
    assert site.root("scontrol", "update", f"JobId={job}", "JobName=a third").returncode == 0
    assert login.dsr1("stop", "named").returncode == 0
    assert (site.state(job), login.phase("named")) == ("COMPLETED", "stopped")
    assert_clean(site.cluster, *site.nodes)


def test_tasks_of_an_array_are_no_runs(site: Site, login: Login) -> None:
    """The number of one of them is that of all to scancel."""
    login.write("array.sh", login.dsr1("render", *TINY, *MOCKER, "--sbatch").stdout)
    submitted = site.user("sbatch", "--parsable", "--array=1-2", "array.sh")
    assert submitted.returncode == 0, submitted.stderr
    job = submitted.stdout.strip()
    until(lambda: set(site.state(job).split()) == {"FAILED"}, "both tasks have refused")
    outputs = site.user("sh", "-c", "cat ~/.local/state/dsr1/jobs/*.out").stdout
    assert f"is a task of the array {job}: a run is one job" in outputs
    assert f"tiny-{job}" not in login.dsr1("ps").stdout
