"""One question to a rank, and whether its answer is the one that it gave when it became ready."""

from collections.abc import Collection, Mapping
from concurrent.futures import Future
from dataclasses import field, replace
from functools import partial
from time import monotonic

import httpx

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.transport.parallel import begin_in_thread
from dsr1.launcher.health.members import Question, RankKey, WatchedRank
from dsr1.launcher.plan.plan import ServiceTarget
from dsr1.launcher.smoke.access import FrontendAccess
from dsr1.launcher.smoke.completion import (
    SmokeTarget,
    ask_completion,
)
from dsr1.launcher.smoke.http import make_client
from dsr1.launcher.smoke.judge import FIXED, KNOWN, Answers, begins_alike, repeats
from dsr1.launcher.smoke.run import ASKING, FIXED_TOKENS, KNOWN_TOKENS, no_answers

QUESTION = FIXED[0]
SHOWN = 60  # characters of an answer
Baseline = Mapping[RankKey, str]
"""What each rank answered when it became ready."""


def ask_rank(service: ServiceTarget, client: httpx.Client, target: SmokeTarget) -> Answers:
    """The question that every rank is asked again and again; who answers it with one token is asked
    others, too: broken weights do so whatever they are asked."""
    ask = partial(_asked, service, client, target)
    one = ask(QUESTION, FIXED_TOKENS)
    if not any(map(repeats, one.fixed)):
        return one
    more = [ask(question, FIXED_TOKENS) for question in FIXED[1:]]
    error = next((other.error for other in more if other.error), "")
    return replace(one, fixed=one.fixed + sum((other.fixed for other in more), ()), error=error)


def ask_known(service: ServiceTarget, client: httpx.Client, one: Answers) -> Answers:
    """And one whose answer is known: all ranks may be wrong in the same way."""
    if one.error:
        return one
    more = _asked(service, client, one.target, next(iter(KNOWN)), KNOWN_TOKENS)
    return Answers(one.target, one.fixed, more.fixed, more.error, more.by_another)


def ask_again(service: ServiceTarget, client: httpx.Client, target: SmokeTarget) -> Answers | None:
    """The same as before. None: it says nothing of the rank."""
    try:
        reply = ask_completion(service, client, target, QUESTION, FIXED_TOKENS)
        return Answers(target, (reply,))
    except ASKING as error:
        return None if _is_of_frontend(error, target) else no_answers(target, error)


def _is_of_frontend(error: Exception, target: SmokeTarget) -> bool:
    """It was not reached, or went meanwhile."""
    lost = isinstance(error, httpx.TransportError) and not isinstance(error, httpx.ReadTimeout)
    return lost and not target.url


def _asked(
    service: ServiceTarget, client: httpx.Client, target: SmokeTarget, question: str, tokens: int
) -> Answers:
    try:
        return Answers(target, (ask_completion(service, client, target, question, tokens),))
    except ASKING as error:
        return no_answers(target, error)


def text_of(answers: Answers) -> str:
    return "".join(answers.fixed[0].texts) if answers.fixed else ""


def garbled(answers: Answers, key: RankKey, baseline: Baseline) -> str:
    """How an answer differs from the rank's first; empty: it begins as that did, or nothing is
    known."""
    first = baseline.get(key)
    if first is None or not answers.fixed or begins_alike(first, text := text_of(answers)):
        return ""
    return f"answers {text[:SHOWN]!r} to {QUESTION!r}, and {first[:SHOWN]!r} when it became ready"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A question that was asked at `since`, monotonic. `moved`: who has done anything since."""

    question: Question
    since: float
    answers: "Future[Answers | None]"
    moved: set[RankKey] = field(default_factory=set)

    def concerns(self, rank: WatchedRank, blamed: Collection[RankKey]) -> bool:
        """Of two ranks not the one that another is to blame for, or that has done its part."""
        question = self.question
        did = question.prefill is not None and rank.key in self.moved
        return rank in question.ranks and not did and not question.excuses(rank, blamed)


class Questioner:
    """Asks ranks beside everything else: one that never answers keeps nobody waiting."""

    def __init__(self, service: ServiceTarget, access: FrontendAccess) -> None:
        self._service = service
        self._client = make_client(access, _LIMITS)
        self._waiting: list[Waiting] = []

    def ask(self, question: Question, target: SmokeTarget) -> None:
        work = partial(ask_again, self._service, self._client, target)
        self._waiting.append(Waiting(question, monotonic(), begin_in_thread(work)))

    @property
    def asked(self) -> set[RankKey]:
        """Ranks whose answer is waited for."""
        return {rank.key for one in self._waiting for rank in one.question.ranks}

    def waits_s(self, rank: WatchedRank, blamed: Collection[RankKey]) -> float | None:
        """For how long a question to this rank, or through it, has had no answer."""
        now = monotonic()
        waits = (now - one.since for one in self._waiting if one.concerns(rank, blamed))
        return max(waits, default=None)

    def note(self, moved: Collection[RankKey]) -> None:
        """Ranks that have done something since the last look."""
        for one in self._waiting:
            one.moved.update(moved)

    def collect(self) -> list[tuple[Question, Answers]]:
        """The answers since the last time, as far as they say anything."""
        done = [one for one in self._waiting if one.answers.done()]
        self._waiting = [one for one in self._waiting if one not in done]
        found = ((one.question, _result(one.answers)) for one in done)
        return [(question, answers) for question, answers in found if answers]

    def close(self) -> None:
        self._client.close()


_LIMITS = httpx.Limits(max_connections=None)


def _result(future: "Future[Answers | None]") -> Answers | None:
    """A client that was closed meanwhile raises what it likes."""
    return None if future.exception() else future.result()
