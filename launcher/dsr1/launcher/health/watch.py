"""The watch over a deployment that serves: a look at every rank, again and again, until it is
done."""

import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from dsr1.launcher.health.asking import Questioner, garbled
from dsr1.launcher.health.counters import read_counters
from dsr1.launcher.health.due import DueQuestions
from dsr1.launcher.health.judge import Look, Standing, as_new, complaint, has_moved, judge, seen
from dsr1.launcher.health.members import (
    Question,
    RankKey,
    WatchedRank,
    frontends_of,
    make_questions,
    watched_ranks,
)
from dsr1.launcher.health.readings import Readings, read_servers, say_sick
from dsr1.launcher.health.ready import FirstAnswers
from dsr1.launcher.health.settings import AsksAgents, HealthSettings
from dsr1.launcher.health.verdicts import HealthReport
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.smoke.judge import Answers

OnReport = Callable[[HealthReport], None]
Answered = Sequence[tuple[Question, Answers]]


class HealthWatch:
    """Of one attempt. It judges; what becomes of a rank is for others to say."""

    def __init__(
        self,
        plan: Plan,
        settings: HealthSettings,
        agents: AsksAgents,
        first: FirstAnswers,
        chat_s: float,
    ) -> None:
        self._plan, self._settings, self._agents = plan, settings, agents
        self._baseline = first.baseline if settings.compares else {}
        self._ranks = watched_ranks(plan)
        self._frontends = frontends_of(plan)
        self._workers = first.readings.workers
        self._standings = self._begin(first.readings)
        self._questioner = Questioner(plan.service, chat_s)
        self._due = DueQuestions(self._ranks, settings.ask_s, time.monotonic())
        self._left_out: set[str] = set()
        self._unaimed: set[RankKey] = set()  # another answers in their place
        self._turn, self._next_at = 0, time.monotonic()

    def _begin(self, first: Readings) -> dict[RankKey, Standing]:
        """What was well and listed then is missed from then on."""
        now = time.time()
        looks = {rank: look_at(rank, first, self._workers, now) for rank in self._ranks}
        ranks = {rank.key: seen(Standing(rank.unjudged), look) for rank, look in looks.items()}
        return ranks | {(row.engine, row.rank): Standing(row) for row in self._frontends}

    def leave_out(self, engine: str) -> None:
        """It is stopped, sleeps, or starts anew: nothing that it shows counts until `take_in`."""
        self._left_out.add(engine)

    def take_in(self, engine: str) -> None:
        for key, standing in self._standings.items():
            if standing.health.engine == engine:
                self._standings[key] = Standing(as_new(standing.health))
                self._workers.pop(standing.health.process, None)
        self._left_out.discard(engine)

    def run(self, done: threading.Event, tell: OnReport) -> None:
        """`tell` hears a report whenever a verdict changes."""
        told = self._report()
        try:
            while not done.wait(self._until_next()):
                report = self._look_or_say()
                if report not in (None, told) and not done.is_set():
                    tell(told := report)
        finally:
            self._questioner.close()

    def _until_next(self) -> float:
        """Seconds. What a look itself takes counts: a server that hangs takes all of its time."""
        now = time.monotonic()
        self._next_at = max(now, self._next_at + self._settings.look_s)
        return self._next_at - now

    def _look_or_say(self) -> HealthReport | None:
        """A fault of ours must not leave the deployment unwatched."""
        try:
            return self.look()
        except Exception:  # noqa: BLE001 - it is told in supervisor.log
            traceback.print_exc()
            return None

    def _report(self) -> HealthReport:
        return HealthReport(tuple(one.health for one in self._standings.values()))

    def look(self) -> HealthReport:
        agents, read_s = self._agents, self._settings.read_s
        readings = read_servers(self._plan, self._ranks, agents, read_s)
        self._workers |= readings.workers
        looks = self._look_at_all(readings, self._questioner.collect())
        for key, look in looks.items():
            before, settings = self._standings[key], self._settings
            self._standings[key] = judge(before, look, settings.patience, settings.look_s)
        if self._settings.answers:
            self._ask()
        return self._report()

    def _look_at_all(self, readings: Readings, answered: Answered) -> dict[RankKey, Look]:
        now = time.time()
        looks = {
            rank.key: look_at(rank, readings, self._workers, now)
            for rank in self._ranks
            if rank.planned.engine not in self._left_out and rank.server_host not in readings.unread
        }
        blamed = {key for key, look in looks.items() if complaint(self._standings[key], look, 0)}
        blamed |= {rank.key for rank in self._ranks if rank.server_host in readings.unread}
        moved = {key for key, look in looks.items() if has_moved(self._standings[key], look)}
        self._questioner.note(moved)
        self._unaimed |= {rank.key for q, one in answered if one.by_another for rank in q.ranks}
        if self._questions_count(readings):
            for rank in (one for one in self._ranks if one.key in looks):
                looks[rank.key] = self._with_answers(rank, looks[rank.key], answered, blamed)
        return looks | self._look_at_frontends(readings, now)

    def _questions_count(self, readings: Readings) -> bool:
        """Unless a frontend keeps them to itself, or may."""
        answer = all(got.status for got in readings.frontends.values())
        return answer and not any(row.host in readings.unread for row in self._frontends)

    def _with_answers(
        self, rank: WatchedRank, look: Look, answered: Answered, blamed: set[RankKey]
    ) -> Look:
        look = add_answers(look, own_answers(rank, answered, blamed), self._baseline)
        return replace(look, waits_s=self._questioner.waits_s(rank, blamed))

    def _look_at_frontends(self, readings: Readings, now: float) -> dict[RankKey, Look]:
        """One that isn't asked shows nothing."""
        return {
            (row.engine, row.rank): Look(now, well=got.status > 0 or None, problem=got.problem)
            for row in self._frontends
            if row.engine not in self._left_out and (got := readings.frontends.get(row.process))
        }

    def _ask(self) -> None:
        self._turn += 1
        left_out = {rank.key for rank in self._ranks if rank.planned.engine in self._left_out}
        but = left_out | self._unaimed | self._questioner.asked
        questions = make_questions(self._ranks, self._turn)
        for question in self._due.choose(questions, self._standings, but, time.monotonic()):
            target = question.target(self._workers)
            if target is not None:
                self._questioner.ask(question, target)


def look_at(rank: WatchedRank, readings: Readings, workers: Mapping[str, int], now: float) -> Look:
    """What a rank's server says, without a question. `workers`: as `Question.target` has them."""
    process = rank.worker.process
    health, metrics = readings.health.get(process), readings.metrics.get(process)
    worker = workers.get(process)
    known = worker is not None and readings.listed is not None
    return Look(
        now,
        well=None if health is None or health.status == 0 else health.is_ok,
        sick="" if health is None or health.is_ok else say_sick(health),
        problem=health.problem if health and health.status == 0 else "",
        listed=worker in readings.listed if known and readings.listed is not None else None,
        counters=read_counters(metrics.body, rank.number) if metrics else None,
    )


def own_answers(rank: WatchedRank, answered: Answered, blamed: set[RankKey]) -> Answered:
    """Those that say something of this rank: where two took part, a failure is that of the one
    that shows more of it, if one does."""
    return [
        (question, answers)
        for question, answers in answered
        if rank in question.ranks
        and not answers.by_another
        and not (answers.error and question.excuses(rank, blamed))
    ]


def add_answers(look: Look, own: Answered, baseline: Mapping[RankKey, str]) -> Look:
    """A right answer outweighs the others: a prefill rank takes part in several."""
    wrong = [garbled(one, question.answering.key, baseline) for question, one in own]
    errors = [one.error for _, one in own if one.error]
    if any(not one.error and not bad for (_, one), bad in zip(own, wrong, strict=True)):
        return replace(look, answered=True)
    if any(wrong):
        return replace(look, answered=True, garbled=next(filter(None, wrong)))
    return replace(look, error=errors[0]) if errors else look
