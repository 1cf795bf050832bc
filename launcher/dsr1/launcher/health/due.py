"""Which ranks are to be asked now, at no more than a hundredth of what they do."""

from collections.abc import Collection, Mapping, Sequence

from dsr1.launcher.health.judge import RankRecord
from dsr1.launcher.health.members import Question, RankKey, WatchedRank

SHARE, QUESTION_TOKENS = 0.01, 32.0  # of a rank's own tokens; a question with its answer


class DueQuestions:
    """Idle ranks are asked every `ask_s` seconds, busy ones once they have read and written enough
    since, and one that seems unwell at every look. The first time they take turns."""

    def __init__(self, ranks: Sequence[WatchedRank], ask_s: float, now: float) -> None:
        self._ask_s = ask_s
        part = ask_s / max(1, len(ranks))
        self._asked_at = {rank.key: now - part * n for n, rank in enumerate(ranks)}
        self._tokens: dict[RankKey, float] = {}

    def choose(
        self,
        questions: Sequence[Question],
        records: Mapping[RankKey, RankRecord],
        but: Collection[RankKey],
        now: float,
    ) -> list[Question]:
        """Those that are due for any of their ranks, and for none of `but`. They count as asked."""
        chosen: list[Question] = []
        for question in questions:
            keys = [rank.key for rank in question.ranks]
            due = any(self._is_due(key, records[key], now) for key in keys)
            if due and not any(key in but for key in keys):
                chosen.append(question)
                self._remember(keys, records, now)
        return chosen

    def _remember(
        self, keys: Sequence[RankKey], records: Mapping[RankKey, RankRecord], now: float
    ) -> None:
        for key in keys:
            self._asked_at[key] = now
            self._tokens[key] = _tokens(records[key])

    def _is_due(self, key: RankKey, record: RankRecord, now: float) -> bool:
        since = now - self._asked_at[key]
        if record.bad:
            return since > 0
        if since < self._ask_s:
            return False
        counters = record.counters
        if counters is None or not counters.pending:
            return True
        done = counters.tokens - self._tokens.get(key, counters.tokens)
        return SHARE * done >= QUESTION_TOKENS


def _tokens(record: RankRecord) -> float:
    return record.counters.tokens if record.counters else 0.0
