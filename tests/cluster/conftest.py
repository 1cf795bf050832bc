"""Clusters of hosts on this machine, one for each test: two hosts are up in less than a second."""

import fcntl
import itertools
import os
import subprocess
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.cluster.hosts import Cluster, missing_tools
from tests.cluster.login import Login

POLICY = Path("/usr/sbin/policy-rc.d")
Clusters = Callable[..., Cluster]


@pytest.fixture(scope="session")
def needs_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes network, process and mount namespaces on this machine")
    if (
        subprocess.run(
            ("unshare", "--net", "--mount", "--pid", "--fork", "true"), check=False
        ).returncode
        != 0
    ):
        pytest.skip("needs a machine that lets root make namespaces: this container does not")


@pytest.fixture(scope="session")
def packages(needs_root: None) -> None:
    """sshd, ssh and ip: installed when missing, once, however many test runs ask at the same
    time."""
    with Path(tempfile.gettempdir(), "dsr1-packages.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if missing := missing_tools():
            install(missing)


def install(missing: list[str]) -> None:
    """The packages' own scripts start no daemon: Debian's policy-rc.d forbids it (101) for the
    while."""
    made = not POLICY.exists()
    if made:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        for command in (
            ("update", "-qq"),
            ("install", "-y", "-qq", "--no-install-recommends", *missing),
        ):
            env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(
                ("apt-get", *command), env=env, check=True, timeout=600, stdout=subprocess.DEVNULL
            )
    finally:
        if made:
            POLICY.unlink()


@pytest.fixture
def make_cluster(packages: None, tmp_path: Path) -> Iterator[Clusters]:
    """Clusters of the test's own choice, as Cluster.up makes them, all ended afterwards."""
    numbers = itertools.count()
    with ExitStack() as made:

        def make(
            *names: str, shared_home: bool = False, loopback_names: Collection[str] = ()
        ) -> Cluster:
            folder = tmp_path / f"cluster{next(numbers)}"
            up = Cluster.up(folder, names, shared_home=shared_home, loopback_names=loopback_names)
            return made.enter_context(up)

        yield make


@pytest.fixture
def cluster(make_cluster: Clusters) -> Cluster:
    """login, node1 and node2. Function scope: a test may crash and cut what it likes, and the next
    finds it whole."""
    return make_cluster("node1", "node2")


@pytest.fixture
def login(runtime: None, cluster: Cluster) -> Login:
    return Login(cluster)
