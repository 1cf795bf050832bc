"""A run's ports behind `dsr1 prep --firewall`, tried by a third host and by another user."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.cluster.conftest import Clusters
from tests.cluster.login import Login
from tests.waiting import until

pytestmark = pytest.mark.cluster
SUDO = r"""
printf '%s\n' 'Defaults !fqdn' 'launch ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/launch
/bin/mount -t tmpfs -o mode=755 tmpfs /var/lib
"""
PREP = ("prep", "--set", f"runtime.python={sys.executable}", "--hosts", "node1,node2")
ADDRESS, FRONTEND, PLANNED, EPHEMERAL = "10.77.0.2", 8000, 20001, 40000
REFUSED, SILENT = 7, 28  # curl(1)


@contextlib.contextmanager
def listening(login: Login, port: int) -> Iterator[None]:
    """A server of the run's user on every address of node1, as Dynamo and torch have them."""
    server = (sys.executable, "-m", "http.server", str(port), "--directory", "/home/launch")
    with subprocess.Popen(
        login.cluster.command("node1", server), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            until(lambda: ask(login, "node1", "launch", "127.0.0.1", port) == 0)
            yield
        finally:
            process.kill()


def ask(login: Login, box: str, user: str, address: str, port: int) -> int:
    command = ("curl", "-sS", "-m", "3", "-o", "/dev/null", f"http://{address}:{port}/")
    return login.cluster.run(box, command, user=user).returncode


def test_strangers_are_shut_out_and_let_in_again(make_cluster: Clusters) -> None:
    login = Login(make_cluster("node1", "node2", "node3"))
    for box in ("node1", "node2"):
        assert login.cluster.run(box, ("sh", "-c", SUDO), user="root").returncode == 0
    with contextlib.ExitStack() as servers:
        for port in (FRONTEND, PLANNED, EPHEMERAL):
            servers.enter_context(listening(login, port))
        assert ask(login, "node3", "other", ADDRESS, EPHEMERAL) == 0
        shown = login.dsr1(*PREP, "--firewall")
        assert "delete table inet dsr1_2000" in shown.stdout
        assert ask(login, "node3", "other", ADDRESS, EPHEMERAL) == 0
        done = login.dsr1(*PREP, "--firewall", "--apply", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        for port in (PLANNED, EPHEMERAL):
            assert ask(login, "node2", "other", ADDRESS, port) == 0
            assert ask(login, "node3", "other", ADDRESS, port) == SILENT
            assert ask(login, "node1", "launch", ADDRESS, port) == 0
        assert ask(login, "node3", "other", ADDRESS, FRONTEND) == 0
        assert ask(login, "node1", "other", "127.0.0.1", PLANNED) == REFUSED
        undone = login.dsr1(*PREP, "--undo", "--yes")
        assert undone.returncode == 0, undone.stdout + undone.stderr
        assert ask(login, "node3", "other", ADDRESS, PLANNED) == 0
