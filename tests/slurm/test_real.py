"""Real vLLM on two nodes of a real Slurm: data and expert parallel, by plain `sbatch`. `launch
--slurm` submits the same script: see test_launch.py."""

import pytest
from tests.answers import data_of
from tests.cluster.login import Login, assert_clean
from tests.slurm.site import Site
from tests.slurm.test_launch import TINY

pytestmark = [pytest.mark.cluster, pytest.mark.e2e, pytest.mark.heavy, pytest.mark.slurm]


def test_by_sbatch(site: Site, login: Login) -> None:
    login.write("job.sh", login.dsr1("render", *TINY, "--sbatch").stdout)
    job = site.user("sbatch", "--parsable", "job.sh").stdout.strip()
    assert site.await_phase(login, f"tiny-{job}", "ready", "failed") == "ready"
    run = f"slurm://lab/{job}"
    smoked = login.dsr1("smoke", run, "--json")
    assert smoked.returncode == 0, smoked.stderr
    assert [answer["rank"] for answer in data_of(smoked.stdout)["answers"]] == [0, 1]
    assert login.dsr1("stop", run).returncode == 0
    assert_clean(site.cluster, "login", *site.nodes)
