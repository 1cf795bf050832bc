"""Ready means every rank: each is asked before a deployment is said to serve."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.transport.parallel import begin_in_thread
from dsr1.launcher.health.asking import Baseline, ask_known, ask_rank, text_of
from dsr1.launcher.health.members import Question, make_questions, watched_ranks
from dsr1.launcher.health.readings import Readings, read_servers
from dsr1.launcher.health.settings import AsksAgents, HealthSettings
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.smoke.access import FrontendAccess
from dsr1.launcher.smoke.completion import SmokeTarget
from dsr1.launcher.smoke.http import make_client
from dsr1.launcher.smoke.judge import Answers, problems


@dataclass(frozen=True, slots=True)
class FirstAnswers:
    """Of all ranks, to be compared with later ones, and what is wrong with them: a line each,
    beginning with the rank. `readings`: what their servers said of themselves."""

    baseline: Baseline
    problems: tuple[str, ...]
    readings: Readings


def ask_every_rank(
    plan: Plan,
    settings: HealthSettings,
    agents: AsksAgents,
    access: FrontendAccess,
    engine: str = "",
) -> FirstAnswers:
    """The ranks of an engine one after the other, so that each computes the same; engines at once.
    With `engine`, those of that one, and whom they need for it."""
    ranks = watched_ranks(plan)
    readings = read_servers(plan, ranks, agents, settings.read_s)
    questions = [one for one in make_questions(ranks) if not engine or engine in one.engines]
    with make_client(access, _ANY) as client:
        round_ = _Round(plan, readings, client)
        begun = [begin_in_thread(partial(round_.ask, part)) for part in _engines(questions)]
        answered = [pair for part in begun for pair in part.result()]
        if settings.known:
            answered = round_.ask_known(answered)
    answers = [one for _, one in answered if not one.by_another]
    baseline = {q.answering.key: text_of(one) for q, one in answered if one.fixed}
    return FirstAnswers(baseline, tuple(problems(answers, settings.compares)), readings)


AnsweredQuestions = list[tuple[Question, Answers]]
_ANY = httpx.Limits(max_connections=None)


def _engines(questions: Sequence[Question]) -> list[list[Question]]:
    found: dict[str, list[Question]] = {}
    for question in questions:
        found.setdefault(question.answering.planned.engine, []).append(question)
    return list(found.values())


class _Round:
    """One question to every rank."""

    def __init__(self, plan: Plan, readings: Readings, client: httpx.Client) -> None:
        self._service, self._client = plan.service, client
        self._readings, self._workers = readings, readings.workers

    def ask(self, questions: Sequence[Question]) -> AnsweredQuestions:
        """After one that fails all others at once: a rank that hangs holds up each of them."""
        done: AnsweredQuestions = []
        for number, question in enumerate(questions):
            done.append((question, self._ask(question)))
            if done[-1][1].error:
                return done + self._at_once(questions[number + 1 :])
        return done

    def _at_once(self, questions: Sequence[Question]) -> AnsweredQuestions:
        begun = [begin_in_thread(partial(self._ask, one)) for one in questions]
        return [(one, future.result()) for one, future in zip(questions, begun, strict=True)]

    def _ask(self, question: Question) -> Answers:
        target = question.target(self._workers)
        if target is not None:
            return ask_rank(self._service, self._client, target)
        unread = SmokeTarget(question.answering.name)
        return Answers(unread, error=f"can't be asked: {self._why_unknown(question)}")

    def _why_unknown(self, question: Question) -> str:
        for rank in question.ranks:
            process = rank.worker.process
            got = self._readings.metrics.get(process)
            if process not in self._workers:
                why = (got.problem or f"HTTP {got.status}") if got else "its agent doesn't answer"
                return f"the metrics of {process} don't tell its worker's id ({why})"
        return "its worker's id isn't known"

    def ask_known(self, answered: AnsweredQuestions) -> AnsweredQuestions:
        with ThreadPoolExecutor(max(1, len(answered))) as pool:
            more = pool.map(lambda pair: ask_known(self._service, self._client, pair[1]), answered)
            return [(question, one) for (question, _), one in zip(answered, more, strict=True)]
