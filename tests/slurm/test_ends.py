"""How a job can end, on a real Slurm without cgroups: nothing stays on a live node, and `status`
says what happened."""

import pytest
from tests.cluster.login import MOCKER, SOON_LOST, Login, assert_clean, kill, of_a_run
from tests.slurm.site import LOST_S, Site
from tests.slurm.test_launch import TINY
from tests.waiting import until

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.e2e,
    pytest.mark.slurm,
    pytest.mark.xdist_group("slurm"),
]


def launch(login: Login, name: str, *more: str) -> str:
    """Its job's id, once it serves."""
    launched = login.dsr1("launch", *TINY, *MOCKER, "--slurm", "--name", name, *more)
    assert launched.returncode == 0, launched.stderr
    return job_of(login, name)


def job_of(login: Login, name: str) -> str:
    return str(login.status(name)["job"]).rpartition("/")[2]


def end(site: Site, login: Login, name: str, *nodes: str) -> dict[str, object]:
    """How the run ended, by its own account and Slurm's; nothing of it is left on these nodes, all
    by default."""
    site.await_phase(login, name, "stopped", "failed")
    until(lambda: site.state(job_of(login, name)) not in ("RUNNING", "COMPLETING"))
    told = login.status(name)
    assert_clean(site.cluster, "login", *(nodes or site.nodes))
    return told


def test_scancel(site: Site, login: Login) -> None:
    job = launch(login, "cancelled")
    assert site.user("scancel", job).returncode == 0
    told = end(site, login, "cancelled")
    assert told["phase"] == "stopped"
    assert "CANCELLED" in str(told["reason"])


def test_one_that_a_signal_stopped_is_suspended_and_nobody_says_what_lives(
    site: Site, login: Login
) -> None:
    """Its supervisor alone, here: its hosts end what it doesn't speak to any more."""
    job = launch(login, "halted", *SOON_LOST)
    assert site.user("scancel", "--batch", "--signal=STOP", job).returncode == 0
    until(lambda: login.phase("halted") == "suspended")
    told = login.status("halted")
    assert (told["alive"], f"job {job} is STOPPED by a signal" in str(told["reason"])) == ([], True)
    until(lambda: not of_a_run(site.cluster, "node2"))
    stopped = login.dsr1("stop", "halted")
    assert stopped.returncode == 0, stopped.stderr
    assert end(site, login, "halted")["phase"] == "stopped"


def test_a_rank_that_dies_is_named_with_its_exit_code(site: Site, login: Login) -> None:
    launch(login, "dies")
    kill(site.cluster, "node2", "dynamo.mocker")
    told = end(site, login, "dies")
    assert (told["phase"], told["exit_code"]) == ("failed", 4)
    assert str(told["reason"]).startswith("main-1 ended by signal SIGKILL, unasked")
    cause = "node2 rank 1 (main): its main process ended by SIGKILL"
    assert login.dsr1("status", "dies").stdout.splitlines()[1].startswith(cause)
    output = f'cat "$HOME"/.local/state/dsr1/jobs/*-{job_of(login, "dies")}.out'
    assert cause in site.cluster.run("login", ("sh", "-c", output)).stdout
    assert login.dsr1("why", "dies").stdout.startswith(cause)
    accounted = site.root("sacct", "-nXP", "-o", "State,ExitCode", "-j", job_of(login, "dies"))
    assert accounted.stdout.strip() == "FAILED|4:0"


def test_the_batch_script_is_killed(site: Site, login: Login) -> None:
    launch(login, "killed")
    kill(site.cluster, "node1", "dsr1.launcher.batch.main")
    told = end(site, login, "killed")
    assert (told["phase"], told["exit_code"]) == ("failed", 137)
    assert "while ready; its supervisor left no word" in str(told["reason"])


def test_warned_before_the_time_limit_it_stops_and_is_submitted_again(
    site: Site, login: Login
) -> None:
    """By Slurm, 110 s before a limit that is set once it serves, however long that took: one to two
    minutes from then on."""
    again = ("--set", "slurm.warn=110", "--set", "slurm.resubmit=1")
    first = launch(login, "limited", "--time", "90", *again)
    took = site.user("squeue", "-h", "-j", first, "-o", "%M").stdout  # minutes:seconds
    limit = f"TimeLimit={int(took.partition(':')[0]) + 2}"
    assert site.root("scontrol", "update", f"JobId={first}", limit).returncode == 0
    until(lambda: job_of(login, "limited") != first)
    assert site.await_phase(login, "limited", "starting", "ready") != ""
    until(lambda: site.state(first) == "COMPLETED")
    assert login.dsr1("stop", "limited").returncode == 0
    told = end(site, login, "limited")
    assert (told["phase"], told["reason"], told["exit_code"]) == ("stopped", "asked to stop", 0)


def test_its_successor_serves_before_it_ends(site: Site, login: Login) -> None:
    """Warned by hand: nobody waits for a limit, and nobody is too late for it."""
    one = ("--set", "engines.main.nodes=1", "--set", "timeouts.drain=1", "--time", "90")
    overlap = ("--set", "slurm.resubmit=1", "--set", "slurm.overlap=3600")
    first = launch(login, "overlaps", *one, *overlap)
    assert site.user("scancel", "--batch", "--signal=USR1", first).returncode == 0
    site.await_phase(login, "overlaps", "stopped")
    told = login.status("overlaps")  # the name leads to who has taken over
    assert (told["run"], told["phase"]) == ("overlaps-2", "ready")
    assert login.dsr1("smoke", "overlaps").returncode == 0
    until(lambda: site.state(first) == "COMPLETED")
    assert login.dsr1("stop", "overlaps").returncode == 0
    assert end(site, login, "overlaps-2")["phase"] == "stopped"


def test_slurmctld_restarts_meanwhile(site: Site, login: Login) -> None:
    job = launch(login, "goes-on")
    site.stop_controller()
    try:  # what was asked a moment ago is not asked again
        until(lambda: "Slurm does not answer" in str(login.status("goes-on")["note"]))
    finally:
        site.start_controller()
    assert login.status("goes-on")["phase"] == "ready"
    assert login.dsr1("smoke", "goes-on").returncode == 0
    assert login.dsr1("stop", "goes-on").returncode == 0
    assert site.state(job) == "COMPLETED"
    assert_clean(site.cluster, *site.nodes)


def test_preemption(site: Site, login: Login) -> None:
    launch(login, "preempted")
    assert (
        site.user("sbatch", "-p", "urgent", "-N3", "--exclusive", "--wrap", "true").returncode == 0
    )
    told = end(site, login, "preempted")
    assert told["phase"] == "stopped"
    assert "PREEMPTED" in str(told["reason"])


def test_a_spare_takes_the_place_of_a_node_that_crashes_and_without_one_the_node_is_named(
    site: Site, login: Login
) -> None:
    """The job goes on when Slurm notices; which is here not before the supervisor has seen to it,
    as by default."""
    site.notice_after(60)
    again = ("--set", "slurm.spares=1", "--set", "restart={max: 2, backoff: 1}")
    job = launch(login, "lost", *SOON_LOST, *again)
    site.cluster.crash("node2")
    until(lambda: login.status("lost")["restarts"] == 1)
    site.notice_after(LOST_S)
    assert site.await_phase(login, "lost", "ready", "failed") == "ready", login.status("lost")[
        "reason"
    ]
    assert {row["host"] for row in login.status("lost")["ranks"]} == {"node1", "node3"}  # type: ignore[attr-defined]
    until(lambda: "down" in site.user("sinfo", "-h", "-n", "node2", "-p", "gpu", "-o", "%t").stdout)
    assert (site.state(job), login.dsr1("smoke", "lost").returncode) == ("RUNNING", 0)
    site.cluster.crash("node3")
    told = end(site, login, "lost", "node1")
    site.boot("node2")
    site.boot("node3")
    assert told["phase"] == "failed"
    assert "node3" in str(told["reason"])


def test_requeued_it_waits_and_serves_again(site: Site, login: Login) -> None:
    """Between its second start and its supervisor's word, here for as long as the test wants, what
    the first one said last is no longer true."""
    held = 'until [ -z "$SLURM_RESTART_COUNT" ] || [ -e ~/go ]; do sleep 0.1; done'
    again = ("--set", "slurm.requeue=true", "--set", f"slurm.setup=['{held}']")
    job = launch(login, "requeued", *again)
    assert site.user("scontrol", "requeue", job).returncode == 0
    site.await_phase(login, "requeued", "queued")
    assert site.user("scontrol", "update", f"JobId={job}", "StartTime=now").returncode == 0
    until(lambda: site.state(job) == "RUNNING")
    changed = ("starting", "failed", "stopped", "ready")  # an answer of squeue is kept for seconds
    assert site.await_phase(login, "requeued", *changed) == "starting"
    assert login.status("requeued")["phase"] == "starting"
    assert "is starting: `dsr1 stop requeued` first" in login.dsr1("rm", "requeued").stderr
    login.write("go", "")
    assert site.await_phase(login, "requeued", "ready", "failed") == "ready", site.output(job)
    assert job_of(login, "requeued") == job
    assert login.dsr1("smoke", "requeued").returncode == 0
    assert login.dsr1("stop", "requeued").returncode == 0
    assert_clean(site.cluster, *site.nodes)


def test_a_node_whose_slurmd_dies(site: Site, login: Login) -> None:
    """Slurm gives the node up, and ends the job; nothing on the node would, but its keeper."""
    launch(login, "headless", *SOON_LOST)
    site.kill_slurmd("node2")
    told = end(site, login, "headless", "node1", "node3")
    until(lambda: not of_a_run(site.cluster, "node2"))
    site.start_node("node2")
    assert told["phase"] == "failed"
    assert "NODE_FAIL" in str(told["reason"])
