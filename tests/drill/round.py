"""One run that faults befall: how it is said to be, how it is, and whether the two agree."""

import json
import time
from dataclasses import dataclass, field

from tests.answers import phases_of
from tests.built import MODEL, RUNTIME
from tests.cluster.hosts import LOGIN, Cluster
from tests.cluster.login import MOCKER, Login
from tests.drill.broken import Broken
from tests.drill.verbs import Operated
from tests.drill.world import MarkedProcess, describe, of_run, state_letter

ENDED, SERVES = ("failed", "stopped"), ("ready", "degraded")
OTHER_PORTS = ("--set", "ports.base=26000", "--set", "frontend.port=9100")
LOST = ("--set", "timeouts.lost=15")  # longer than a busy machine lets an agent wait
# A worker that was stopped by a signal is missed once its registration is: 10 s.
SETTLE_S, STEADY_S, SUSPENDED_S, POLL_S = 300.0, 3.0, 20.0, 0.5


@dataclass(slots=True)
class Round:
    """`supervisor` is its pid on the login host; `cut` are the hosts without a network."""

    cluster: Cluster
    login: Login
    name: str
    hosts: list[str]
    run_id: str
    supervisor: int
    cut: set[str] = field(default_factory=set)

    def operated(self) -> Operated:
        tiny = ("launch", "tiny", "--venv", str(RUNTIME), "--model", str(MODEL), *MOCKER, *LOST)
        words = (*tiny, "--hosts", ",".join(self.hosts))
        count = ("--set", f"engines.main.nodes={len(self.hosts)}")
        whole, beside = (*words, *count, "--name"), (*words, *count, *OTHER_PORTS, "--name")
        return Operated(self.cluster, self.login, self.name, whole, beside, tuple(self.hosts))

    def follow(self) -> None:
        """Whoever watches it by now; another run may have taken its name, once it was over."""
        found = self.cluster.path(LOGIN, f"{self.folder}/run-id")
        run_id = found.read_text() if found.exists() else self.run_id
        if run_id != self.run_id:
            if left := of_run(self.cluster, self.run_id):
                raise Broken(
                    f"another run has its name, and of itself there lives {describe(left)}"
                )
            self.run_id = run_id
        if told := self.read("supervisor.json"):
            self.supervisor = int(str(told["pid"]))

    @property
    def folder(self) -> str:
        return f"/home/launch/.local/state/dsr1/runs/{self.name}"

    def read(self, file: str) -> dict[str, object]:
        """Empty: the run's folder is gone."""
        try:
            text = self.cluster.path(LOGIN, f"{self.folder}/{file}").read_text()
        except FileNotFoundError:
            return {}
        found: dict[str, object] = json.loads(text)
        return found

    def observe(self) -> "Observation":
        """State last: a supervisor saves its end before it goes."""
        there = [p for p in of_run(self.cluster, self.run_id) if p.box not in self.cut]
        letter = state_letter(self.cluster.path(LOGIN, f"/proc/{self.supervisor}/stat"))
        down = {name for name, box in self.cluster.boxes.items() if not box.up} | self.cut
        return Observation(there, letter, down, self.read("plan.json"), self.read("state.json"))


@dataclass(slots=True)
class Observation:
    """What is there at one moment. `letter`: /proc's, of the supervisor; empty when it is gone."""

    there: list[MarkedProcess]
    letter: str
    down: set[str]
    plan: dict[str, object]
    state: dict[str, object]

    @property
    def phase(self) -> str:
        """As `dsr1 ps` is to say it. Empty: the run has no folder any more."""
        said = str(self.state.get("phase", ""))
        return said if self.letter or not said or said in ENDED else "unsupervised"

    def disagreement(self) -> str:
        """What is still to come, or wrong, in words; what nobody supervises stays as it is."""
        if self.phase in ENDED:
            left = self.there and not self.state["left"]
            return f"{self.phase}, and there lives {describe(self.there)}" if left else ""
        if self.letter in ("", "T"):
            return ""
        if self.phase == "degraded" and not self._suspended:
            return "it is degraded, and nothing of it is suspended"
        told = f"it is {self.phase or 'without folder'}"
        return self._amiss() if self.phase in SERVES else told

    @property
    def _suspended(self) -> list[MarkedProcess]:
        return [one for one in self.there if one.suspended]

    def _amiss(self) -> str:
        lost = sorted(self.down & self.hosts)
        missing = self._planned - {(one.box, one.marks.process) for one in self.there}
        hung = [one for one in self._suspended if not one.marks.process]
        if lost:
            return f"ready, and {lost} can't be reached"
        if missing:
            return f"ready, without {sorted(missing)}"
        return f"ready, and there hangs {describe(hung)}" if hung else ""

    @property
    def _planned(self) -> set[tuple[str, str]]:
        """(host, process), with the agents, whose process has no name."""
        hosts: list[dict[str, list[dict[str, str]]]] = self.plan["hosts"]  # type: ignore[assignment]
        return {
            (str(host["host"]), name)
            for host in hosts
            for name in ("", *(process["name"] for process in host["processes"]))
        }

    @property
    def hosts(self) -> set[str]:
        return {host for host, _ in self._planned}

    @property
    def is_whole(self) -> bool:
        """It serves, nothing of it is suspended, and somebody would notice if it were."""
        goes = self.phase == "ready" and self.letter not in ("", "T")
        return goes and not self._amiss() and not self._suspended

    def steady_s(self) -> float:
        return SUSPENDED_S if self._suspended else STEADY_S


def settle(round_: Round) -> Observation:
    """Until what is said agrees with what is, and goes on to: on a busy machine it takes time."""
    deadline, since, before = time.monotonic() + SETTLE_S, time.monotonic(), ""
    while time.monotonic() < deadline:
        observation = round_.observe()
        wrong = observation.disagreement()
        if wrong or observation.phase != before:
            before, since = observation.phase, time.monotonic()
        elif time.monotonic() - since > observation.steady_s():
            return observation
        time.sleep(POLL_S)
    raise Broken(f"after {SETTLE_S:.0f} s: {wrong}")


def check_told(round_: Round) -> None:
    """What `ps` and `status` say is what there is; asked again while things change."""
    for _ in range(3):
        said = str(phases_of(round_.login.dsr1("ps", "--json").stdout).get(round_.name, ""))
        over = said in ("", *ENDED)
        alive = set() if over else _said_alive(round_)
        observation = round_.observe()
        there = {one.marks.process for one in observation.there} - {""}
        if said == observation.phase and (over or alive == there):
            return
    told, seen = f"{said} with {sorted(alive)}", f"{observation.phase} with {sorted(there)}"
    raise Broken(f"said is {told}, and there is {seen}")


def _said_alive(round_: Round) -> set[str]:
    alive: list[str] = round_.login.status(round_.name)["alive"]  # type: ignore[assignment]
    return set(alive)
