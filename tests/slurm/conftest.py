"""A real Slurm on hosts of this machine, one for each module: its tests end what they start."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.answers import answers_known
from tests.cluster.conftest import answers, needs_root, packages  # noqa: F401 - fixtures
from tests.cluster.hosts import Cluster
from tests.cluster.login import Login
from tests.packages import ensure_tools
from tests.slurm.site import TOOLS, Site


@pytest.fixture(scope="session")
def slurm_packages(packages: None) -> None:  # noqa: F811
    """Slurm, munge and MariaDB."""
    ensure_tools(TOOLS)


@pytest.fixture(scope="module")
def site(
    slurm_packages: None,
    answers: Path,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """Three nodes, with accounting; the homes are shared, as on a real one."""
    folder = tmp_path_factory.mktemp("slurm")
    with (
        Cluster.up(folder, ("node1", "node2", "node3"), shared_home=True) as cluster,
        answers_known(cluster, answers),
    ):
        made = Site(cluster, accounting=True)
        made.up()
        yield made


@pytest.fixture
def login(runtime: None, site: Site) -> Iterator[Login]:
    """Whatever the test left in the queue is ended."""
    yield Login(site.cluster)
    site.clear()
