"""The watch over a deployment that serves: a look at every rank, again and again, until it is
done."""

import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace

from dsr1.launcher.health.asking import Questioner, garbled
from dsr1.launcher.health.counters import read_counters
from dsr1.launcher.health.due import DueQuestions
from dsr1.launcher.health.judge import RankRecord, Sample, as_new, complaint, has_moved, judge, seen
from dsr1.launcher.health.members import (
    RankKey,
    WatchedRank,
    frontends_of,
    make_questions,
    watched_ranks,
)
from dsr1.launcher.health.readings import (
    NOTHING_MORE,
    Readings,
    Recorder,
    read_servers,
    say_sick,
)
from dsr1.launcher.health.ready import AnsweredQuestions, FirstAnswers
from dsr1.launcher.health.settings import AsksAgents, HealthSettings
from dsr1.launcher.health.verdicts import HealthReport
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.smoke.access import FrontendAccess

OnReport = Callable[[HealthReport], None]


class HealthWatch:
    """Of one attempt. It judges; what becomes of a rank is for others to say."""

    def __init__(
        self,
        plan: Plan,
        settings: HealthSettings,
        agents: AsksAgents,
        first: FirstAnswers,
        access: FrontendAccess,
        recorder: Recorder | None = None,
    ) -> None:
        self._recorder = recorder
        self._plan, self._settings, self._agents = plan, settings, agents
        self._baseline = first.baseline if settings.compares else {}
        self._ranks = watched_ranks(plan)
        self._frontends = frontends_of(plan)
        self._workers = first.readings.workers
        self._records = self._begin(first.readings)
        self._questioner = Questioner(plan.service, access)
        self._due = DueQuestions(self._ranks, settings.ask_s, time.monotonic())
        self._left_out: set[str] = set()
        self._unaimed: set[RankKey] = set()  # another answers in their place
        self._turn, self._next_at = 0, time.monotonic()

    def _begin(self, first: Readings) -> dict[RankKey, RankRecord]:
        """What was well and listed then is missed from then on."""
        now = time.time()
        samples = {rank: sample_rank(rank, first, self._workers, now) for rank in self._ranks}
        ranks = {
            rank.key: seen(RankRecord(rank.unjudged), sample) for rank, sample in samples.items()
        }
        return ranks | {(row.engine, row.rank): RankRecord(row) for row in self._frontends}

    def leave_out(self, engine: str) -> None:
        """It is stopped, sleeps, or starts anew: nothing that it shows counts until `take_in`."""
        self._left_out.add(engine)

    def take_in(self, engine: str) -> None:
        for key, record in self._records.items():
            if record.health.engine == engine:
                self._records[key] = RankRecord(as_new(record.health))
                self._workers.pop(record.health.process, None)
        self._left_out.discard(engine)

    def run(self, done: threading.Event, tell: OnReport) -> None:
        """`tell` hears the first report, whatever an earlier watch has told, and one whenever a
        verdict changes."""
        told: HealthReport | None = None
        try:
            while not done.wait(self._until_next()):
                report = self._probe_or_report()
                if report not in (None, told) and not done.is_set():
                    tell(told := report)
        finally:
            self._questioner.close()

    def _until_next(self) -> float:
        """Seconds. What a look itself takes counts: a server that hangs takes all of its time."""
        now = time.monotonic()
        self._next_at = max(now, self._next_at + self._settings.interval_s)
        return self._next_at - now

    def _probe_or_report(self) -> HealthReport | None:
        """A fault of ours must not leave the deployment unwatched."""
        try:
            return self.probe()
        except Exception:  # noqa: BLE001 - it is told in supervisor.log
            traceback.print_exc()
            return None

    def _report(self) -> HealthReport:
        return HealthReport(tuple(one.health for one in self._records.values()))

    def probe(self) -> HealthReport:
        agents, read_s = self._agents, self._settings.read_s
        more = self._recorder.wants() if self._recorder else NOTHING_MORE
        readings = read_servers(self._plan, self._ranks, agents, read_s, more)
        self._workers |= readings.workers
        samples = self._sample_all(readings, self._questioner.collect())
        for key, sample in samples.items():
            before, settings = self._records[key], self._settings
            self._records[key] = judge(before, sample, settings.patience, settings.interval_s)
        if self._settings.answers:
            self._ask()
        if self._recorder:
            self._recorder.take(readings)
        return self._report()

    def _sample_all(self, readings: Readings, answered: AnsweredQuestions) -> dict[RankKey, Sample]:
        now = time.time()
        samples = {
            rank.key: sample_rank(rank, readings, self._workers, now)
            for rank in self._ranks
            if rank.planned.engine not in self._left_out and rank.server_host not in readings.unread
        }
        blamed = {
            key for key, sample in samples.items() if complaint(self._records[key], sample, 0)
        }
        blamed |= {rank.key for rank in self._ranks if rank.server_host in readings.unread}
        moved = {key for key, sample in samples.items() if has_moved(self._records[key], sample)}
        self._questioner.note(moved)
        self._unaimed |= {rank.key for q, one in answered if one.by_another for rank in q.ranks}
        if self._questions_count(readings):
            for rank in (one for one in self._ranks if one.key in samples):
                samples[rank.key] = self._with_answers(rank, samples[rank.key], answered, blamed)
        return samples | self._sample_frontends(readings, now)

    def _questions_count(self, readings: Readings) -> bool:
        """Unless a frontend keeps them to itself, or may."""
        answer = all(got.status for got in readings.frontends.values())
        return answer and not any(row.host in readings.unread for row in self._frontends)

    def _with_answers(
        self, rank: WatchedRank, sample: Sample, answered: AnsweredQuestions, blamed: set[RankKey]
    ) -> Sample:
        sample = add_answers(sample, own_answers(rank, answered, blamed), self._baseline)
        return replace(sample, waits_s=self._questioner.waits_s(rank, blamed))

    def _sample_frontends(self, readings: Readings, now: float) -> dict[RankKey, Sample]:
        """One that isn't asked shows nothing."""
        return {
            (row.engine, row.rank): Sample(now, well=got.status > 0 or None, problem=got.problem)
            for row in self._frontends
            if row.engine not in self._left_out and (got := readings.frontends.get(row.process))
        }

    def _ask(self) -> None:
        self._turn += 1
        left_out = {rank.key for rank in self._ranks if rank.planned.engine in self._left_out}
        but = left_out | self._unaimed | self._questioner.asked
        questions = make_questions(self._ranks, self._turn)
        for question in self._due.choose(questions, self._records, but, time.monotonic()):
            target = question.target(self._workers)
            if target is not None:
                self._questioner.ask(question, target)


def sample_rank(
    rank: WatchedRank, readings: Readings, workers: Mapping[str, int], now: float
) -> Sample:
    """What a rank's server says, without a question. `workers`: as `Question.target` has them."""
    process = rank.worker.process
    health, metrics = readings.health.get(process), readings.metrics.get(process)
    worker = workers.get(process)
    known = worker is not None and readings.listed is not None
    return Sample(
        now,
        well=None if health is None or health.status == 0 else health.is_ok,
        sick="" if health is None or health.is_ok else say_sick(health),
        problem=health.problem if health and health.status == 0 else "",
        listed=worker in readings.listed if known and readings.listed is not None else None,
        counters=read_counters(metrics.body, rank.number) if metrics else None,
    )


def own_answers(
    rank: WatchedRank, answered: AnsweredQuestions, blamed: set[RankKey]
) -> AnsweredQuestions:
    """Those that say something of this rank: where two took part, a failure is that of the one
    that shows more of it, if one does."""
    return [
        (question, answers)
        for question, answers in answered
        if rank in question.ranks
        and not answers.by_another
        and not (answers.error and question.excuses(rank, blamed))
    ]


def add_answers(sample: Sample, own: AnsweredQuestions, baseline: Mapping[RankKey, str]) -> Sample:
    """A right answer outweighs the others: a prefill rank takes part in several."""
    wrong = [garbled(one, question.answering.key, baseline) for question, one in own]
    errors = [one.error for _, one in own if one.error]
    if any(not one.error and not bad for (_, one), bad in zip(own, wrong, strict=True)):
        return replace(sample, answered=True)
    if any(wrong):
        return replace(sample, answered=True, garbled=next(filter(None, wrong)))
    return replace(sample, error=errors[0]) if errors else sample
