"""check.py: what a look at a host costs, and the judging of many. `make runtime` first.

usage: python bench/check.py [ROUNDS]
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), *(str(ROOT / part) for part in ("launcher", "hosts", "env", "slurm"))]
PYTHON = ROOT / ".cache" / "runtime" / "bin" / "python"
HOSTS = 128


def look(bundle: Path) -> tuple[float, float, int]:
    """Wall seconds, seconds of this host's CPU (the agent's children included), and how many
    facts."""
    from dsr1.hosts.protocol.facts.request import FactsRequest, render_facts_request

    names = tuple(f"host{number}" for number in range(2))
    ask = FactsRequest(
        leader="127.0.0.1",
        peers=names,
        ports=(8000, 20000),
        folders=("/var/tmp", "/tmp"),
        pins=("ai-dynamo",),
    )
    before, began = os.times(), time.monotonic()
    done = subprocess.run(
        (str(PYTHON), str(bundle), "facts", render_facts_request(ask)),
        check=True,
        capture_output=True,
    )
    wall, after = time.monotonic() - began, os.times()
    spent = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    return wall, spent, len(json.loads(done.stdout)["data"])


def judge() -> tuple[float, int]:
    """Seconds of CPU to judge healthy hosts of eight GPUs, and how many findings."""
    from tests.unit.env.hgx import NEEDS, make_facts

    from dsr1.env.checks.all import run_checks

    names = {f"n{number}": [f"10.0.0.{number}"] for number in range(HOSTS)}
    site = {host: make_facts(net_resolved=dict(names)) for host in names}
    began = time.process_time()
    found = run_checks(site, NEEDS)
    return time.process_time() - began, len(found)


def main(rounds: int) -> None:
    from dsr1.hosts.transport.bundle import make_bundle

    print(f"{'what':<46} {'measured':<22} wanted")
    with tempfile.TemporaryDirectory() as folder:
        bundle = make_bundle(Path(folder))
        looks = [look(bundle) for _ in range(rounds + 1)][1:]
    wall, spent = (statistics.median(column) for column in list(zip(*looks, strict=True))[:2])
    print(f"{f'facts of this host, {looks[0][2]} of them':<46} {f'{wall:.2f} s':<22} 3 s")
    print(f"{'  its CPU':<46} {f'{spent:.2f} s':<22} 1.5 s")
    times, counts = zip(*(judge() for _ in range(rounds)), strict=True)
    seconds = statistics.median(times)
    print(
        f"{f'judging {HOSTS} hosts, {counts[0]} findings':<46} {f'{seconds:.2f} s':<22} 0.3 s for"
        " 80 checks a host"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 5)
