"""What a host shows of its processes is not all that lives there: those that can't be dumped tell
nobody their environment, and with hidepid /proc doesn't even list them."""

import pytest
from tests.answers import data_of
from tests.cluster.login import MOCKER, Login, assert_clean, kill, of_a_run
from tests.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]
# Beside a worker, away from its group and session, as a program with file capabilities would be.
PLANT = """
import ctypes, os, sys, time
if "dynamo.mocker" in sys.orig_argv and not os.path.exists("/home/launch/planted"):
    if os.fork() == 0:
        os.setsid()
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
        with open("/home/launch/planted", "w") as file:
            file.write(f"{os.getpid()}\\n")
        while True:
            time.sleep(1000)
"""
PLANTED = ("--set", "runtime.env.PYTHONPATH=/home/launch/site")


def plant(login: Login, box: str) -> None:
    script = 'mkdir -p "$HOME/site" && printf %s "$0" > "$HOME/site/sitecustomize.py"'
    assert login.cluster.run(box, ("sh", "-c", script, PLANT)).returncode == 0


def hide(login: Login, box: str) -> None:
    mount = ("mount", "-o", "remount,hidepid=2", "/proc")
    assert login.cluster.run(box, mount, user="root").returncode == 0


def leave_the_planted_alone(login: Login) -> int:
    """Of a run whose supervisor, agent and worker on node2 were killed: what the worker left."""
    plant(login, "node2")
    launched = login.launch("d", "node1,node2", *MOCKER, *PLANTED)
    assert launched.returncode == 0, launched.stderr
    until(login.cluster.path("node2", "/home/launch/planted").exists)
    pid = int(login.cluster.path("node2", "/home/launch/planted").read_text())
    kill(login.cluster, "login", "launcher.run.supervision")
    kill(login.cluster, "node2", " start ")
    for one, line in login.cluster.processes("node2", "launch"):
        if one != pid and "dynamo.mocker" in line:
            login.cluster.run("node2", ("kill", "-KILL", str(one)))
    until(lambda: len(of_a_run(login.cluster, "node2")) == 1)
    return pid


@pytest.mark.parametrize("hidden", [False, True])
def test_what_cannot_be_dumped_is_found_and_ended_without_its_agent(
    hidden: bool, login: Login
) -> None:
    if hidden:
        hide(login, "node2")
    leave_the_planted_alone(login)
    found = data_of(login.dsr1("ps", "--hosts", "node2", "--json").stdout)
    assert [one["run"] for one in found] == ["d"]
    stopped = login.dsr1("stop", "d")
    assert (stopped.returncode, stopped.stderr) == (0, "")
    assert_clean(login.cluster, "node1", "node2")


def test_where_nothing_tells_whose_a_process_is_its_absence_is_not_claimed(login: Login) -> None:
    """A limit that somebody has set leaves no room for a lineage; who was there before is not
    meant."""
    assert login.cluster.run("node2", ("sh", "-c", "ssh-agent > /dev/null")).returncode == 0
    limit = ("sh", "-c", "prlimit --pid $(cat /run/sshd.pid) --locks=1000:1000")
    assert login.cluster.run("node2", limit, user="root").returncode == 0
    pid = leave_the_planted_alone(login)
    stopped = login.dsr1("stop", "d")
    line = f"pid {pid} (python), whose environment can't be read, may be of this run"
    assert stopped.returncode == 4
    assert stopped.stderr.count("may be of this run") == 1
    assert line in stopped.stderr
    login.cluster.run("node2", ("kill", "-KILL", str(pid)))
    assert login.dsr1("stop", "d").returncode == 0
