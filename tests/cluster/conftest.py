"""Clusters of hosts on this machine, one for each test: two hosts are up in less than a second."""

import itertools
import os
import subprocess
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.cluster.answers import answers_known
from tests.cluster.hosts import TOOLS, Cluster
from tests.cluster.login import Login
from tests.packages import ensure_tools

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
    """sshd, ssh and ip."""
    ensure_tools(TOOLS)


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of this run of the tests, whichever of its processes asks."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "answers"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def make_cluster(packages: None, answers: Path, tmp_path: Path) -> Iterator[Clusters]:
    """Clusters of the test's own choice, as Cluster.up makes them, all ended afterwards."""
    numbers = itertools.count()
    with ExitStack() as made:

        def make(
            *names: str, shared_home: bool = False, loopback_names: Collection[str] = ()
        ) -> Cluster:
            folder = tmp_path / f"cluster{next(numbers)}"
            up = Cluster.up(folder, names, shared_home=shared_home, loopback_names=loopback_names)
            cluster = made.enter_context(up)
            made.enter_context(answers_known(cluster, answers))
            return cluster

        yield make


@pytest.fixture
def cluster(make_cluster: Clusters) -> Cluster:
    """login, node1 and node2. Function scope: a test may crash and cut what it likes, and the next
    finds it whole."""
    return make_cluster("node1", "node2")


@pytest.fixture
def login(runtime: None, cluster: Cluster) -> Login:
    return Login(cluster)
