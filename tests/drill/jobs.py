"""Rounds against jobs of a real Slurm on this machine's hosts: its own controls, and the ends of its
daemons, are among the faults."""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from tests.answers import phases_of
from tests.built import MODEL, RUNTIME
from tests.cluster.hosts import Cluster
from tests.cluster.login import MOCKER, Login
from tests.drill.broken import Broken
from tests.drill.controls import CONTROLS, ITS_NODE
from tests.drill.round import LOST
from tests.drill.verbs import Operated
from tests.drill.world import MarkedProcess, describe, of_run
from tests.slurm.site import Site
from tests.waiting import until

NODES = ("node1", "node2", "node3")
BYSTANDER = ("-w", ITS_NODE, "-N1", "--exclusive", "-J", "dsr1-r1", "--wrap", "exec sleep infinity")
HALTED, OVER = ("SUSPENDED", "STOPPED"), ("stopped", "failed")
ON = ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING", *HALTED)
SETTLE_S, STEADY_S, POLL_S = 300.0, 5.0, 1.0


TINY = ("launch", "tiny", "--venv", str(RUNTIME), "--model", str(MODEL), *MOCKER, *LOST, "--slurm")


@dataclass(slots=True)
class JobRound:
    """A run in a job, that faults befall."""

    site: Site
    login: Login
    name: str
    run_id: str
    job: str

    def operated(self) -> Operated:
        words = (*TINY, "--no-wait", "--name")
        return Operated(self.site.cluster, self.login, self.name, words, words)

    def follow(self) -> None:
        """Another run may have taken its name, once it was over."""
        run_id = self.login.read(self.name, "run-id") or self.run_id
        if run_id != self.run_id:
            state, left = self.site.state(self.job), self.there()
            if state in ON or left:
                lives = f"its job is {state}, and there lives {describe(left)}"
                raise Broken(f"another run has its name, and of itself {lives}")
            self.run_id, self.job = run_id, job_of(self.login, self.name)

    def there(self) -> list[MarkedProcess]:
        return of_run(self.site.cluster, self.run_id)

    def phase(self) -> str:
        return str(phases_of(self.login.dsr1("ps", "--json").stdout).get(self.name, ""))

    def planned(self) -> set[str]:
        hosts = json.loads(self.login.read(self.name, "plan.json"))["hosts"]
        return {process["name"] for host in hosts for process in host["processes"]}


def play(site: Site, bystander: str, name: str, seed: int) -> list[str]:
    rng, login = Random(seed), Login(site.cluster)
    requeue, most = rng.choice(("true", "false")), rng.choice((0, 1))
    options = (f"slurm.requeue={requeue}", f"restart={{max: {most}, backoff: 0.1}}")
    site.notice_after(60 if most else 30)  # a busy machine's slurmd is silent for ten seconds
    round_ = _launch(site, login, name, [word for one in options for word in ("--set", one)])
    done = [f"launched with requeue {requeue}, {most} restarts"]
    try:
        for fault in rng.choices(CONTROLS, k=rng.choice((1, 1, 2))):
            done.append(fault(round_, rng))
            round_.follow()
        done.append(f"then {_settle(round_)}")
        _check_bystander(site, bystander)
        _stop(round_)
        _check_bystander(site, bystander)
    except Broken as broken:
        raise Broken(f"{broken}; done: {'; '.join(done)}") from None
    _mend(site)
    return done


def _launch(site: Site, login: Login, name: str, options: list[str]) -> JobRound:
    launched = login.dsr1(*TINY, "--name", name, *options)
    if launched.returncode:
        raise Broken(f"not launched: {launched.stderr}")
    return JobRound(site, login, name, login.read(name, "run-id"), job_of(login, name))


def job_of(login: Login, name: str) -> str:
    return str(login.status(name)["job"]).rpartition("/")[2]


def _settle(round_: JobRound) -> str:
    """The phase, once it agrees with what is, and goes on to."""
    deadline, since, before = time.monotonic() + SETTLE_S, time.monotonic(), ""
    while time.monotonic() < deadline:
        phase = round_.phase()
        wrong = _disagreement(round_, phase)
        if wrong or phase != before:
            before, since = phase, time.monotonic()
        elif time.monotonic() - since > STEADY_S:
            return phase
        time.sleep(POLL_S)
    raise Broken(f"after {SETTLE_S:.0f} s: {wrong}")


def _disagreement(round_: JobRound, phase: str) -> str:
    """Between `dsr1 ps` on one side and Slurm and the nodes' /proc on the other, in words."""
    state, there = round_.site.state(round_.job), round_.there()
    if phase in (*OVER, "queued", ""):
        on = state in (ON[1:] if phase == "queued" else ON)
        lives = f"{phase or 'removed'}, the job {state}, and there lives {describe(there)}"
        return lives if on or there else ""
    if phase == "suspended":
        return "" if state in HALTED else f"suspended, and the job is {state}"
    missing = round_.planned() - {one.marks.process for one in there}
    if phase not in ("ready", "degraded") or state != "RUNNING" or missing:
        return f"{phase}, the job {state}, without {sorted(missing)}"
    return ""


def _check_bystander(site: Site, job: str) -> None:
    if site.state(job) != "RUNNING":
        raise Broken(f"another job, {job}, was touched: it is {site.state(job)}")


def _stop(round_: JobRound) -> None:
    """Where slurmd is dead nobody can end a job's processes, once the job is over, nor prove them
    gone: what stop names there may live."""
    stopped = round_.login.dsr1("stop", round_.name)
    state = round_.site.state(round_.job)
    dark = {node for node in NODES if not round_.site.slurmd_runs(node)}
    told = {node for node in dark if stopped.returncode and f"{node}: " in stopped.stderr}
    left = [one for one in round_.there() if one.box not in told]
    if state in ON or left:
        raise Broken(
            f"after stop ({stopped.returncode} {stopped.stderr}): "
            f"the job {state}, and there lives {describe(left)}"
        )
    if stopped.returncode not in (0, 5) and not dark:  # 5: it was removed, by `rm` beside a stop
        raise Broken(f"stop says {stopped.returncode}: {stopped.stderr}")


def _mend(site: Site) -> None:
    """All daemons run, and every node but the bystander's is idle."""
    if site.root("scontrol", "ping").returncode:
        site.start_controller()
    site.root("scontrol", "update", "PartitionName=gpu", "PreemptMode=CANCEL")
    for node in NODES:
        if not site.cluster.boxes[node].up:
            site.boot(node)
        elif not site.slurmd_runs(node):
            site.start_node(node)
        site.root("scontrol", "update", f"NodeName={node}", "State=RESUME")
    until(lambda: site.idle() == len(NODES), "every node is idle", 180)


def _tidy(site: Site, bystander: str) -> None:
    told = site.root("squeue", "-h", "-o", "%A").stdout.split()
    for job in set(told) - {bystander}:
        site.root("scancel", "--signal=KILL", "--full", job)
        site.root("scancel", job)
    for node in NODES:
        site.cluster.crash(node)
    _mend(site)


@contextmanager
def in_jobs() -> Iterator[tuple[Callable[[str, int], list[str]], Callable[[], None]]]:
    """How a round is played, and how the nodes are made fit for another after one that broke."""
    with (
        tempfile.TemporaryDirectory(prefix="drill-") as folder,
        Cluster.up(Path(folder, "cluster"), (*NODES, ITS_NODE), shared_home=True) as cluster,
    ):
        site = Site(cluster, accounting=False)
        site.up()
        bystander = site.user("sbatch", "--parsable", *BYSTANDER).stdout.strip()
        until(lambda: site.state(bystander) == "RUNNING", "another job runs")
        yield partial(play, site, bystander), partial(_tidy, site, bystander)
