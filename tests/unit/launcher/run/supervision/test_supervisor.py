"""The supervisor and agents that say what a test has them say."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from dsr1.hosts.errors import HostError
from dsr1.hosts.protocol.codec import NumberedEvent, render_gone
from dsr1.hosts.protocol.commands import AgentCommand
from dsr1.hosts.protocol.events import Event, Exited, Gone, MemberDied, Prepared, Progress, Spawned
from dsr1.hosts.transport.base import AgentLink, AgentVerb, CommandResult, JobStream, Transport
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.preflight.survey_result import unasked_survey
from dsr1.launcher.recipe.load import parse_recipe
from dsr1.launcher.run.prepare import make_run_secrets, make_settings
from dsr1.launcher.run.store import Run, new_run
from dsr1.launcher.run.supervision.supervisor import Supervisor

DEATHS = Path(__file__).parents[4] / "data" / "h200-x4" / "deaths"
TWO_RANKS = """
name: t
model: {path: /m}
stack: mocker
engines: {main: {nodes: 1, ranks_per_node: 2, layout: per_gpu}}
frontend: {port: 1024}
timeouts: {importing: 8}
"""


class Scripted(Transport):
    """One agent, that tells what it is to tell and never obeys."""

    def __init__(self, told: Iterator[Event]) -> None:
        self._told = told

    def run_verb(self, host: str, verb: AgentVerb) -> CommandResult:
        out = (
            render_gone(Gone(()))
            if verb.name == "stop"
            else json.dumps({"agent": "alive", "boot_id": "b", "processes": {}}).encode()
        )
        return CommandResult(0, out, b"")

    def attach(self, host: str, since: int) -> AgentLink:
        return Talk(host, self._told)

    def logs(self, host: str, follow: Callable[[], bool]) -> Iterator[tuple[str, str]]:
        return iter(())

    def open_job(self, host: str, job: str) -> AbstractContextManager[JobStream]:
        raise NotImplementedError


class Talk:
    def __init__(self, host: str, told: Iterator[Event]) -> None:
        self._host, self._told = host, told

    def send(self, command: AgentCommand) -> None:
        pass

    def events(self) -> Iterator[NumberedEvent]:
        yield from (
            NumberedEvent(seq, 0.0, self._host, event) for seq, event in enumerate(self._told, 1)
        )

    def close(self) -> None:
        pass


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))
    recipe = parse_recipe(TWO_RANKS, "t.yaml")
    site, run = unasked_survey(recipe, ()), new_run("r1")
    run.claim(recipe, "starting")
    plan = make_plan(recipe, site.hosts, run.name, str(run.folder))
    run.fill(plan, make_settings(recipe, site, ()), make_run_secrets(plan, site, recipe))
    return run


def test_a_rank_is_late_however_much_the_others_say(run: Run) -> None:
    over = threading.Event()

    def told() -> Iterator[Event]:
        yield Prepared(())
        yield from (Spawned(name, 1, 0.0) for name in ("frontend", "main-0", "main-1"))
        for done in count():
            if over.wait(0.01):
                return
            yield Progress("main-1", "loading", 1, done, 10**6)

    Supervisor(run, Scripted(told())).supervise()
    over.set()
    state = run.state()
    assert (state.phase, state.exit_code) == ("failed", 4)
    assert state.reason.startswith(
        "rank 0 of engine main on localhost (main-0) has been starting for more than 8 s"
    )
    assert state.reason.endswith("; the frontend doesn't answer (ConnectError)")
    assert state.ranks[1].phase == "loading"


class Refusing(Scripted):
    """As vLLM on an H200 with too little free memory: its Worker ended with 0, after it had logged
    why."""

    def __init__(self) -> None:
        died = MemberDied("main-0", "Worker_DP0", 16575, 0)
        super().__init__(iter((Prepared(()), died)))

    def run_verb(self, host: str, verb: AgentVerb) -> CommandResult:
        if verb.name != "evidence":
            return super().run_verb(host, verb)
        found = json.loads((DEATHS / "start-memory-not-free" / "evidence.json").read_text())
        return CommandResult(0, json.dumps(found["localhost"]).encode(), b"")


def test_a_logged_error_is_the_reason_and_no_exit_code_of_0(run: Run) -> None:
    Supervisor(run, Refusing()).supervise()
    state = run.state()
    assert state.phase == "failed"
    assert state.reason == "localhost main-0 (main): other processes use this GPU's memory"
    assert state.cause
    assert state.cause.sign.rule == "vllm.memory_not_free"


class Dying(Scripted):
    """Its agent's process ends; what then becomes of it is given: words of what is left, or no
    answer at all."""

    def __init__(self, left: tuple[str, ...], answers: bool) -> None:
        super().__init__(iter((Prepared(()), Exited("main-0", 1, False, ()))))
        self._left, self._answers = left, answers

    def run_verb(self, host: str, verb: AgentVerb) -> CommandResult:
        if verb.name != "stop":
            return super().run_verb(host, verb)
        if not self._answers:
            raise HostError(f"{host}: no route to it")
        return CommandResult(0, render_gone(Gone((), self._left)), b"")


@pytest.mark.parametrize(
    ("left", "answers", "why"),
    [
        (("localhost: main-1 (pid 7)",), True, "something may still run: localhost: main-1"),
        ((), False, "no spare is left for localhost"),
    ],
)
def test_a_restart_that_can_t_be_is_no_failed_check(
    run: Run, left: tuple[str, ...], answers: bool, why: str
) -> None:
    """Exit code 3 says that nothing was started."""
    run.save_settings(replace(run.settings(), restarts=1, backoff_s=0.0))
    Supervisor(run, Dying(left, answers)).supervise()
    state = run.state()
    assert (state.phase, state.exit_code) == ("failed", 4)
    assert f"not started again{',' if answers else ':'}" in state.reason
    assert why in state.reason


class Watched(Dying):
    """Keeps what is said of the run while its hosts are asked why it failed, and end it."""

    def __init__(self, run: Run) -> None:
        super().__init__((), answers=True)
        self._run, self.said = run, dict[str, str]()

    def run_verb(self, host: str, verb: AgentVerb) -> CommandResult:
        self.said.setdefault(verb.name, self._run.state().phase)
        return super().run_verb(host, verb)


def test_what_has_failed_is_not_called_ready_while_it_is_ended(run: Run) -> None:
    """Evidence and end of hosts that don't answer take tens of seconds, also before a restart."""
    run.save_settings(replace(run.settings(), restarts=1, backoff_s=0.0))
    watched = Watched(run)
    Supervisor(run, watched).supervise()
    assert (watched.said["evidence"], watched.said["stop"]) == ("stopping", "stopping")


class Replaced(Watched):
    """Its name is another run's as soon as it is asked why it failed."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.other, self.before = new_run(run.name), dict[str, bytes]()

    def run_verb(self, host: str, verb: AgentVerb) -> CommandResult:
        if verb.name == "evidence":
            shutil.rmtree(self._run.folder)
            self.other.claim(parse_recipe(TWO_RANKS, "t.yaml"), "starting")
            self.before = self.files()
        return super().run_verb(host, verb)

    def files(self) -> dict[str, bytes]:
        found = (file for file in self.other.folder.iterdir() if file.is_file())
        return {file.name: file.read_bytes() for file in found}


@pytest.mark.parametrize("restarts", [0, 1])
def test_nothing_is_written_into_a_folder_that_is_another_runs(run: Run, restarts: int) -> None:
    run.save_settings(replace(run.settings(), restarts=restarts, backoff_s=0.0))
    replaced = Replaced(run)
    Supervisor(run, replaced).supervise()
    assert replaced.before
    assert replaced.files() == replaced.before
