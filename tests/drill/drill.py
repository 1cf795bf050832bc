"""A drill: random faults, seeded, against deployments on eight hosts of this machine; after every
round what must hold is read from /proc of every host.

`python -m tests.drill.drill [--rounds N] [--seed S]`, as root. A round's seed is printed; with
`--rounds 1 --seed S` the same faults come again.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.cluster.hosts import Cluster
from tests.cluster.login import MOCKER, Login
from tests.drill.faults import FAULTS
from tests.drill.world import MarkedProcess, describe, of_run

HOSTS = tuple(f"node{number}" for number in range(1, 7))
BYSTANDER, ITS_HOSTS = "bystander", ("node7", "node8")
ITS_PORTS = ("--set", "ports.base=24000", "--set", "frontend.port=9200")
SETTLED = ("ready", "failed", "stopped", "unsupervised")
# Steady is what lasts for longer than a lost registration may go unnoticed, which is 10 s.
SETTLE_S, STEADY_S, POLL_S = 240.0, 20.0, 0.5


class Broken(Exception):
    """Something that must hold doesn't."""


@dataclass(slots=True)
class Round:
    """One run that faults befall."""

    cluster: Cluster
    login: Login
    name: str
    hosts: list[str]
    run_id: str = ""
    supervisor: int = 0
    cut: set[str] = field(default_factory=set)

    @property
    def folder(self) -> str:
        return f"/home/launch/.local/state/dsr1/runs/{self.name}"

    def is_supervised(self) -> bool:
        """By a supervisor that runs, not one that was stopped."""
        state = self.login.cluster.run("login", ("cat", f"/proc/{self.supervisor}/stat")).stdout
        return bool(state) and state.rpartition(")")[2].split()[0] != "T"

    def phase(self) -> str:
        """Empty: the run has no folder any more."""
        done = self.login.dsr1("ps", "--json")
        return str(json.loads(done.stdout or "{}").get(self.name, ""))


def play(cluster: Cluster, name: str, seed: int, bystander: list[MarkedProcess]) -> list[str]:
    """One round. Gives what was done, Broken says what didn't hold."""
    rng, login = Random(seed), Login(cluster)
    chosen = rng.sample(HOSTS, 4)
    count = rng.choice((2, 3))
    round_ = Round(cluster, login, name, chosen[:count])
    restart = f"restart={{max: {rng.choice((0, 1))}, backoff: 0.1}}"
    options = ("--set", f"spares=[{chosen[3]}]", "--set", restart)
    nodes = ("--set", f"engines.main.nodes={count}")
    launched = login.launch(name, ",".join(round_.hosts), *MOCKER, *options, *nodes)
    if launched.returncode:
        raise Broken(f"not launched: {launched.stderr}")
    round_.run_id = login.read(name, "run-id")
    round_.supervisor = json.loads(login.read(name, "supervisor.json"))["pid"]
    done = [f"launched on {', '.join(round_.hosts)}, {restart}"]
    for fault in rng.choices(FAULTS, k=rng.choice((1, 1, 2, 3))):
        done.append(fault(round_, rng))
    try:
        _settle_and_check(round_, done, bystander)
    except Broken as broken:
        raise Broken(f"{broken}; done: {'; '.join(done)}") from None
    return done


def _settle_and_check(round_: Round, done: list[str], bystander: list[MarkedProcess]) -> None:
    phase = _settle(round_)
    done.append(f"then {phase or 'gone'}")
    _check_bystander(round_, bystander)
    _check_told(round_, phase)
    for box in sorted(round_.cut):
        round_.cluster.heal(box)
    _stop(round_, phase)
    _check_bystander(round_, bystander)
    for box in HOSTS:
        round_.cluster.boot(box)


def _settle(round_: Round) -> str:
    """Until it stands somewhere, and goes on standing there. What has lost a host is no place to
    stand: on a busy machine it takes its time to be told."""
    deadline, before, since = time.monotonic() + SETTLE_S, "?", time.monotonic()
    while time.monotonic() < deadline:
        phase, lost = round_.phase(), _hosts_lost(round_)
        if phase != before or (phase == "ready" and lost):
            before, since = phase, time.monotonic()
        settled = phase in SETTLED or not (_reachable(round_) or round_.is_supervised())
        if settled and time.monotonic() - since > STEADY_S:
            return phase
        time.sleep(POLL_S)
    raise Broken(f"it stands at {before or 'nothing'} for {SETTLE_S:.0f} s; lost: {lost}")


def _hosts_lost(round_: Round) -> list[str]:
    """Of its plan, those that its supervisor can't reach; none where nobody is there to say so."""
    if not round_.is_supervised():
        return []
    plan = json.loads(round_.login.read(round_.name, "plan.json") or '{"hosts": []}')
    return [
        host["host"]
        for host in plan["hosts"]
        if host["host"] in round_.cut or not round_.cluster.boxes[host["host"]].up
    ]


def _reachable(round_: Round) -> list[MarkedProcess]:
    """What is alive of it on hosts that can be asked."""
    return [p for p in of_run(round_.cluster, round_.run_id) if p.box not in round_.cut]


def _check_bystander(round_: Round, before: list[MarkedProcess]) -> None:
    now = of_run(round_.cluster, before[0].marks.identity.run_id)
    gone = [one for one in before if one not in now]
    if gone:
        raise Broken(f"another run was touched: {describe(gone)}")


def _check_told(round_: Round, phase: str) -> None:
    """What ended is gone, unless it is said to be left; what is called alive is."""
    alive = _reachable(round_)
    if phase in ("failed", "stopped"):
        state = json.loads(round_.login.read(round_.name, "state.json"))
        if alive and not state["left"]:
            raise Broken(f"{phase}, and there lives {describe(alive)}")
    if phase == "ready":
        _check_status(round_)


def _check_status(round_: Round) -> None:
    """Asked again while things change: what is wrong must stay wrong."""
    for _ in range(3):
        said = set(map(str, round_.login.status(round_.name)["alive"]))  # type: ignore[call-overload]
        said = {
            name for name in said if ":" not in name
        }  # else the words of a host that can't tell
        there = {one.marks.process for one in _reachable(round_)} - {""}
        if said == there:
            return
    raise Broken(f"status says alive {sorted(said)}, and there is {sorted(there)}")


def _stop(round_: Round, phase: str) -> None:
    """However it stands, by its folder or without: then nothing of it is anywhere that is up."""
    up = [box for box in HOSTS if round_.cluster.boxes[box].up]
    if phase:
        stopped = round_.login.dsr1("stop", round_.name)
    else:
        stopped = round_.login.dsr1("stop", round_.name, "--hosts", ",".join(up))
    left = of_run(round_.cluster, round_.run_id)
    all_up = len(up) == len(HOSTS)
    if left:
        raise Broken(f"after stop ({stopped.returncode}) there lives {describe(left)}")
    if all_up and stopped.returncode not in (0, 5):
        raise Broken(f"stop says {stopped.returncode}: {stopped.stderr}")


def drill(rounds: int, seed: int) -> int:
    """The number of rounds in which something didn't hold."""
    broken = 0
    with (
        tempfile.TemporaryDirectory(prefix="drill-") as folder,
        Cluster.up(Path(folder, "cluster"), (*HOSTS, *ITS_HOSTS)) as cluster,
    ):
        bystander = _launch_bystander(cluster)
        for number in range(rounds):
            began = time.monotonic()
            try:
                words = "; ".join(play(cluster, f"r{number}", seed + number, bystander))
            except Broken as error:
                broken += 1
                words = f"BROKEN: {error}"
                _tidy(cluster)
            took = time.monotonic() - began
            print(f"round {number} seed {seed + number} ({took:.0f} s): {words}", flush=True)
    print(f"{rounds} rounds from seed {seed}, {broken} broken")
    return broken


def _launch_bystander(cluster: Cluster) -> list[MarkedProcess]:
    login = Login(cluster)
    launched = login.launch(BYSTANDER, ",".join(ITS_HOSTS), *MOCKER, *ITS_PORTS)
    if launched.returncode:
        raise SystemExit(launched.stderr)
    return of_run(cluster, login.read(BYSTANDER, "run-id"))


def _tidy(cluster: Cluster) -> None:
    """After a broken round the next one begins on fresh hosts."""
    for box in HOSTS:
        cluster.crash(box)
        cluster.boot(box)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.drill.drill")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    return 1 if drill(options.rounds, options.seed) else 0


if __name__ == "__main__":
    sys.exit(main())
