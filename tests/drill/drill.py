"""A drill: random faults, seeded, against deployments on eight hosts of this machine; after every
round what must hold is read from /proc of every host.

`python -m tests.drill.drill [--rounds N] [--seed S] [--slurm]`, as root. A round's seed is printed;
with `--rounds 1 --seed S` the same faults come again, on a run that is launched for them. With
--slurm the runs are jobs of a Slurm on these hosts, and its own controls are among the faults.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.cluster.hosts import LOGIN, Cluster
from tests.cluster.login import MOCKER, Login
from tests.drill.broken import Broken
from tests.drill.faults import FAULTS
from tests.drill.jobs import in_jobs
from tests.drill.round import LOST, Observation, Round, check_told, settle
from tests.drill.world import MarkedProcess, describe, of_run

HOSTS = tuple(f"node{number}" for number in range(1, 7))
BYSTANDER, ITS_HOSTS = "bystander", ("node7", "node8")
GOES_ON = 0.8  # of the rounds that leave a run whole
ITS_PORTS = ("--set", "ports.base=24000", "--set", "frontend.port=9200")
Play = Callable[[str, int], list[str]]
"""A round by its run's name and its seed: gives what was done; Broken says what didn't hold."""


@dataclass(slots=True)
class SshDrill:
    """`going` is a run that the last round has left whole: the next one may go on with it, since a
    launch takes longer than what befalls it."""

    cluster: Cluster
    bystander: list[MarkedProcess]
    going: Round | None = None

    def play(self, name: str, seed: int) -> list[str]:
        rng = Random(seed)
        round_, done = self._take_up(name, Random(f"launch {seed}"))
        try:
            for fault in rng.choices(FAULTS, k=rng.choice((1, 1, 2, 3))):
                done.append(fault(round_, rng))
            observation = settle(round_)
            done.append(f"then {observation.phase or 'gone'}")
            _check_bystander(self.cluster, self.bystander)
            check_told(round_)
            self._let_go(round_, observation, rng.random() < GOES_ON)
        except Broken as broken:
            raise Broken(f"{broken}; done: {'; '.join(done)}") from None
        return done

    def _take_up(self, name: str, rng: Random) -> tuple[Round, list[str]]:
        if self.going is not None:
            return self.going, [f"goes on with {self.going.name}"]
        return _launch(self.cluster, name, rng)

    def _let_go(self, round_: Round, observation: Observation, may_go_on: bool) -> None:
        self.going = round_ if may_go_on and observation.is_whole else None
        if self.going is None:
            _stop(round_, observation.phase)
            _check_bystander(self.cluster, self.bystander)
            _mend(self.cluster)
        else:
            round_.hosts = sorted(observation.hosts)

    def tidy(self) -> None:
        """After a broken round the next one begins on fresh hosts."""
        self.going = None
        for box in HOSTS:
            self.cluster.crash(box)
        _mend(self.cluster)


def _launch(cluster: Cluster, name: str, rng: Random) -> tuple[Round, list[str]]:
    login, chosen, count = Login(cluster), rng.sample(HOSTS, 4), rng.choice((2, 3))
    hosts, restart = chosen[:count], f"restart={{max: {rng.choice((0, 1))}, backoff: 0.1}}"
    options = ("--set", f"spares=[{chosen[3]}]", "--set", restart)
    nodes = ("--set", f"engines.main.nodes={count}")
    launched = login.launch(name, ",".join(hosts), *MOCKER, *LOST, *options, *nodes)
    if launched.returncode:
        raise Broken(f"not launched: {launched.stderr}")
    supervisor = int(json.loads(login.read(name, "supervisor.json"))["pid"])
    round_ = Round(cluster, login, name, hosts, login.read(name, "run-id"), supervisor)
    return round_, [f"launched on {', '.join(hosts)}, {restart}"]


def _check_bystander(cluster: Cluster, before: list[MarkedProcess]) -> None:
    now = of_run(cluster, before[0].marks.identity.run_id)
    gone = [one for one in before if one not in now]
    if gone:
        raise Broken(f"another run was touched: {describe(gone)}")


def _stop(round_: Round, phase: str) -> None:
    """However it stands, by its folder or without: then nothing of it is anywhere that is up."""
    for box in sorted(round_.cut):
        round_.cluster.heal(box)
    up = [box for box in HOSTS if round_.cluster.boxes[box].up]
    hosts = () if phase else ("--hosts", ",".join(up))
    stopped = round_.login.dsr1("stop", round_.name, *hosts)
    if left := of_run(round_.cluster, round_.run_id):
        raise Broken(f"after stop ({stopped.returncode}) there lives {describe(left)}")
    if len(up) == len(HOSTS) and stopped.returncode not in (0, 5):
        raise Broken(f"stop says {stopped.returncode}: {stopped.stderr}")


def _mend(cluster: Cluster) -> None:
    for box in HOSTS:
        cluster.boot(box)
    for box in (LOGIN, *HOSTS):
        cluster.set_clock(box, 0)


@contextmanager
def over_ssh() -> Iterator[tuple[Play, Callable[[], None]]]:
    """How a round is played, and how the hosts are made fit for another after one that broke."""
    with (
        tempfile.TemporaryDirectory(prefix="drill-") as folder,
        Cluster.up(Path(folder, "cluster"), (*HOSTS, *ITS_HOSTS)) as cluster,
    ):
        made = SshDrill(cluster, _launch_bystander(cluster))
        yield made.play, made.tidy


def drill(rounds: int, seed: int, slurm: bool = False) -> int:
    """The number of rounds in which something didn't hold."""
    broken = 0
    with in_jobs() if slurm else over_ssh() as (play_one, tidy):
        for number in range(seed, seed + rounds):
            began = time.monotonic()
            try:
                words = "; ".join(play_one(f"r{number}", number))
            except Broken as error:
                broken += 1
                words = f"BROKEN: {error}"
                tidy()
            kind, took = "slurm " if slurm else "", time.monotonic() - began
            print(f"{kind}seed {number} ({took:.0f} s): {words}", flush=True)
    print(f"{rounds} rounds from seed {seed}, {broken} broken")
    return broken


def _launch_bystander(cluster: Cluster) -> list[MarkedProcess]:
    login = Login(cluster)
    launched = login.launch(BYSTANDER, ",".join(ITS_HOSTS), *MOCKER, *ITS_PORTS)
    if launched.returncode:
        raise SystemExit(launched.stderr)
    return of_run(cluster, login.read(BYSTANDER, "run-id"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.drill.drill")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--slurm", action="store_true")
    options = parser.parse_args()
    return 1 if drill(options.rounds, options.seed, options.slurm) else 0


if __name__ == "__main__":
    sys.exit(main())
