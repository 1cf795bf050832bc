"""slurm.py: what dsr1 adds to a job. Needs root and `make runtime model`; it makes a Slurm of 4
nodes on this machine.

From the batch script's first line to the last worker started, with and without checks, against what
a bare `srun hostname` takes from there; and `status` of a run. Medians, in seconds.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
PARTS = [str(ROOT / part) for part in ("launcher", "hosts", "env", "slurm")]
sys.path[:0] = [str(ROOT), *PARTS]
NODES, ROUNDS = ("node1", "node2", "node3", "node4"), 3
GRANTED = "slurm.setup=['date +%s.%N >granted']"
BARE = "#!/bin/bash\ndate +%s.%N >granted\nsrun hostname >/dev/null\ndate +%s.%N >done\n"

if TYPE_CHECKING:
    from tests.cluster.login import Login
    from tests.slurm.site import Site


def stamp(site: "Site", file: str) -> float:
    return float(site.user("cat", file).stdout)


def bare_srun(site: "Site", login: "Login") -> float:
    login.write("bare.sh", BARE)
    site.user("sbatch", "--wait", "--nodes=4", "--ntasks-per-node=1", "--exclusive", "bare.sh")
    return stamp(site, "done") - stamp(site, "granted")


def started(site: "Site", login: "Login", *more: str) -> float:
    """When the last process that is a worker was spawned, by its agent's own account."""
    from tests.cluster.login import MOCKER
    from tests.slurm.test_launch import TINY

    nodes = ("--set", "engines.main.nodes=4", "--set", GRANTED)
    launched = login.dsr1("launch", *TINY, *MOCKER, *nodes, "--slurm", "--name", "b", *more)
    assert launched.returncode == 0, launched.stderr
    last = max(when for node in NODES for when in spawned(site, node))
    took = last - stamp(site, "granted")
    login.dsr1("stop", "b")
    site.user("rm", "-rf", ".local/state/dsr1/runs/b")
    site.clear()
    return took


def spawned(site: "Site", node: str) -> Iterator[float]:
    (file,) = site.cluster.path(node, "/tmp").glob(f"dsr1-*/b/{node}/events.jsonl")
    for line in file.read_text().splitlines():
        event = json.loads(line)
        if event["event"] == "Spawned" and event["process"].startswith("main"):
            yield event["time"]


def status(site: "Site", login: "Login") -> Iterator[float]:
    from tests.cluster.login import MOCKER
    from tests.slurm.test_launch import TINY

    assert login.dsr1("launch", *TINY, *MOCKER, "--slurm", "--name", "s").returncode == 0
    for _ in range(2 * ROUNDS):
        time.sleep(2.5)  # what one asker was told serves others for 2 s: here each asks anew
        began = time.monotonic()
        assert login.dsr1("status", "s").returncode == 0
        yield time.monotonic() - began
    login.dsr1("stop", "s")


def median(measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(ROUNDS))


def main() -> None:
    from tests.cluster.hosts import Cluster
    from tests.cluster.login import Login
    from tests.slurm.site import Site

    with (
        tempfile.TemporaryDirectory() as folder,
        Cluster.up(Path(folder), NODES, shared_home=True) as cluster,
    ):
        site = Site(cluster, accounting=True)
        site.up()
        login = Login(cluster)
        bare = median(lambda: bare_srun(site, login))
        print(f"{'srun hostname, 4 nodes':<40} {bare:.2f}", flush=True)
        for what, more in (
            ("all workers started, --no-check", ("--no-check",)),
            ("all workers started, checked", ()),
        ):
            took = median(lambda more=more: started(site, login, *more))  # type: ignore[misc]
            print(f"{what:<40} {took:.2f}  ({took - bare:+.2f})", flush=True)
        print(f"{'dsr1 status':<40} {statistics.median(status(site, login)):.2f}")


if __name__ == "__main__":
    main()
