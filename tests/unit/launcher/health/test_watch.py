"""The watch over a deployment whose servers say what a test has them say."""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from dsr1.hosts.errors import HostError
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.http import HttpGet, HttpGot
from dsr1.launcher.health.judge import Sample
from dsr1.launcher.health.members import Question, make_questions, watched_ranks
from dsr1.launcher.health.readings import read_servers
from dsr1.launcher.health.ready import FirstAnswers
from dsr1.launcher.health.settings import HealthSettings
from dsr1.launcher.health.verdicts import (
    FAILED,
    MUTE,
    SICK,
    STALLED,
    SUSPECT,
    UNLISTED,
    HealthReport,
)
from dsr1.launcher.health.watch import HealthWatch, add_answers, own_answers
from dsr1.launcher.plan.plan import Plan, make_plan
from dsr1.launcher.recipe.load import parse_recipe
from dsr1.launcher.smoke.access import FrontendAccess
from dsr1.launcher.smoke.completion import Reply, SmokeTarget
from dsr1.launcher.smoke.judge import Answers

HOSTS = [Host(f"n{n}", f"10.0.0.{n}", "eth0") for n in (1, 2)]
RECIPE = """
name: t
model: {path: /m}
engines:
  a: {nodes: 1, ranks_per_node: 2}
  b: {nodes: 1, ranks_per_node: 2}
"""
APART = """
name: t
model: {path: /m}
engines:
  p: {nodes: 1, ranks_per_node: 1, role: prefill}
  d: {nodes: 1, ranks_per_node: 1, role: decode}
"""
IDS = {"a-0": 10, "b-0": 11, "p-0": 10, "d-0": 11}
SETTINGS = HealthSettings(interval_s=10, patience=2, answers=False)


class Servers:
    """All well, but for what a test changes: ranks that hang by process, statuses by process."""

    def __init__(self, plan: Plan) -> None:
        self._namespace = plan.service.namespace
        self.status = dict.fromkeys((*IDS, "frontend"), 200)
        self.listed = set(IDS.values())
        self.hung: set[str] = set()
        self.cut: set[str] = set()
        self._looks = 0

    def get(self, host: str, gets: Sequence[HttpGet]) -> tuple[HttpGot, ...]:
        if host in self.cut:
            raise HostError(f"{host}: the connection is lost")
        self._looks += 1
        return tuple(self._answer(get) for get in gets)

    def _answer(self, get: HttpGet) -> HttpGot:
        status = self.status[get.process]
        if not status:
            return HttpGot(0, 0, problem="no answer within 5 s")
        if get.process == "frontend":
            return HttpGot(
                0, status, json.dumps({"instances": [*map(self._instance, self.listed)]})
            )
        return HttpGot(0, status, self._metrics(get.process) if get.path == "/metrics" else "x")

    def _instance(self, number: int) -> dict[str, object]:
        return {"instance_id": number, "namespace": self._namespace, "endpoint": "generate"}

    def _metrics(self, process: str) -> str:
        tokens = 7 if process in self.hung else self._looks
        labels = [f'engine="{rank}",worker_id="{IDS[process]:x}"' for rank in (0, 1)]
        return "".join(
            f"vllm:num_requests_running{{{label}}} 3.0\n"
            f"vllm:generation_tokens_total{{{label}}} {tokens}.0\n"
            for label in labels
        )


Watched = tuple[HealthWatch, Servers]


def watch_over(settings: HealthSettings) -> Watched:
    plan = make_plan(parse_recipe(RECIPE, "t.yaml"), HOSTS, "r", "/r")
    servers = Servers(plan)
    readings = read_servers(plan, watched_ranks(plan), servers, 5.0)
    first = FirstAnswers({}, (), readings)
    return HealthWatch(plan, settings, servers, first, FrontendAccess(5)), servers


@pytest.fixture
def watched() -> Watched:
    return watch_over(SETTINGS)


def told(watch: HealthWatch) -> list[tuple[str, int, str, str]]:
    return [(row.engine, row.rank, row.kind, row.verdict) for row in watch.probe().ailing]


def test_all_that_get_on_are_well(watched: Watched) -> None:
    watch, _ = watched
    assert [told(watch) for _ in range(3)] == [[], [], []]


class FewLooks(threading.Event):
    """Set by itself after twenty looks: a watch that tells nothing fails, and doesn't hang."""

    left = 20

    def wait(self, timeout: float | None = None) -> bool:
        self.left -= 1
        return super().wait(timeout) or self.left < 0


def test_the_first_look_is_told_and_then_what_changes() -> None:
    """What a watch before this one has said, of another supervisor even, stands no longer."""
    watch, servers = watch_over(replace(SETTINGS, interval_s=0.01))
    heard: list[HealthReport] = []
    done = FewLooks()

    def tell(report: HealthReport) -> None:
        heard.append(report)
        servers.status["b-0"] = 0
        if len(heard) == 2:
            done.set()

    watch.run(done, tell)
    assert [bool(report.ailing) for report in heard] == [False, True]


def say_unwell(servers: Servers) -> None:
    servers.hung.add("b-0")
    servers.status["b-0"] = 503


FAULTS: dict[str, Callable[[Servers], None]] = {
    STALLED: lambda servers: servers.hung.add("b-0"),
    MUTE: lambda servers: servers.status.update({"b-0": 0}),
    UNLISTED: lambda servers: servers.listed.discard(11),
    SICK: say_unwell,
}


@pytest.mark.parametrize("kind", FAULTS)
def test_an_engine_is_told_by_its_ranks_and_no_other(watched: Watched, kind: str) -> None:
    watch, servers = watched
    FAULTS[kind](servers)
    watch.probe()  # a standstill needs two
    found = [told(watch) for _ in range(3)]
    assert {(engine, rank) for engine, rank, *_ in found[-1]} == {("b", 0), ("b", 1)}
    assert {(row[2], row[3]) for row in found[-1]} == {(kind, FAILED)}
    assert watch.probe().failed_engines == ("b",)


def test_a_host_that_is_cut_off_shows_nothing(watched: Watched) -> None:
    """Whether it is lost is the agents' matter, who count for how long."""
    watch, servers = watched
    servers.cut.add("n2")
    assert [told(watch) for _ in range(4)] == [[], [], [], []]


def test_a_frontend_that_hangs_is_told_and_its_workers_are_not(watched: Watched) -> None:
    watch, servers = watched
    servers.status["frontend"] = 0
    assert told(watch) == [("frontend", 0, MUTE, SUSPECT)]
    assert told(watch) == [("frontend", 0, MUTE, FAILED)]


def test_an_engine_that_is_left_out_is_not_judged_until_it_is_back(watched: Watched) -> None:
    watch, servers = watched
    watch.leave_out("b")
    servers.hung.add("b-0")
    assert [told(watch) for _ in range(4)] == [[], [], [], []]
    watch.take_in("b")
    assert told(watch) == []
    assert [row[3] for row in told(watch)] == [SUSPECT, SUSPECT]


def asked(text: str = "", error: str = "") -> Answers:
    replies = (Reply("q", (text,), 1, 0.1, 0.2),) if text else ()
    return Answers(SmokeTarget("x"), replies, error=error)


def question() -> Question:
    plan = make_plan(parse_recipe(APART, "t.yaml"), HOSTS, "r", "/r")
    return make_questions(watched_ranks(plan))[0]


def test_an_error_is_held_against_the_rank_that_shows_it() -> None:
    pair = question()
    decode, prefill = pair.ranks
    answered = [(pair, asked(error="HTTP 500"))]
    assert own_answers(decode, answered, {prefill.key}) == []
    assert own_answers(prefill, answered, {prefill.key}) == answered
    assert own_answers(decode, answered, set()) == answered


def test_one_right_answer_outweighs_others() -> None:
    pair = question()
    baseline = {pair.answering.key: "Hello"}
    right, wrong, failed = asked("Hello"), asked("!!!"), asked(error="HTTP 500")

    def shown(*answers: Answers) -> tuple[bool, bool, str]:
        sample = add_answers(Sample(0), [(pair, one) for one in answers], baseline)
        return sample.answered, bool(sample.garbled), sample.error

    assert shown() == (False, False, "")
    assert shown(failed, right, wrong) == (True, False, "")
    assert shown(failed, wrong) == (True, True, "")
    assert shown(failed) == (False, False, "HTTP 500")
    assert add_answers(Sample(0), [(pair, wrong)], {}).garbled == "", "nothing to compare with"
