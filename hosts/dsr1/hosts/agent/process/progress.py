"""How far a start has come, read from a process's log as it grows: bytes in, changes of phase and
counter out."""

import re
from collections.abc import Iterable

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.process import PhaseRule

LINE_LIMIT = 4096
_ENDS = re.compile(rb"[\r\n]")
_ANSI = re.compile(r"\x1b\[[0-?]{0,32}[ -/]{0,32}[@-~]")


@dataclass(frozen=True, slots=True)
class ProgressStep:
    """A change: `rank` (global DP rank; None: all ranks of the process) is in `phase`, at `done` of
    `total`."""

    phase: str
    rank: int | None
    done: int | None
    total: int | None


@dataclass(frozen=True, slots=True)
class _Rule:
    order: int
    phase: str
    pattern: re.Pattern[str]
    after: str


class ProgressReader:
    """Applies ordered phase rules to a log, fed in chunks that may end anywhere, even within a
    character.

    A rank never goes back to an earlier phase, and a line of all ranks never back behind the
    foremost rank: bars carry no rank, and vLLM prints some lines of its start again later. Of a
    line longer than `LINE_LIMIT` bytes the beginning is read.
    """

    def __init__(self, rules: tuple[PhaseRule, ...]) -> None:
        self._rules = _latest_first(rules)
        self._awaited = {rule.after: re.compile(rule.after) for rule in rules if rule.after}
        self._partial = b""
        self._at: dict[int | None, tuple[int, ProgressStep]] = {}

    def feed(self, data: bytes) -> list[ProgressStep]:
        """The changes that `data`, the next bytes of the log, brings. A last line without its end
        is kept."""
        *lines, rest = _ENDS.split(self._partial + data)
        self._partial = rest[:LINE_LIMIT]
        return [step for line in lines if line and (step := self._read(_text(line[:LINE_LIMIT])))]

    def _read(self, line: str) -> ProgressStep | None:
        for text in [text for text, line_of_it in self._awaited.items() if line_of_it.search(line)]:
            del self._awaited[text]
        rule, found = self._first_match(line)
        if rule is None or found is None:
            return None
        step = _step(rule.phase, found.groupdict())
        if not self._is_news(rule.order, step):
            return None
        self._at[step.rank] = (rule.order, step)
        return step

    def _first_match(self, line: str) -> tuple[_Rule | None, re.Match[str] | None]:
        floor = self._order_of(None)
        for rule in self._rules:
            if rule.order < floor:
                break
            if rule.after not in self._awaited and (found := rule.pattern.search(line)):
                return rule, found
        return None, None

    def _is_news(self, order: int, step: ProgressStep) -> bool:
        if order < self._floor(step.rank):
            return False
        if order > self._foremost({None, step.rank}):
            return True
        before = self._at.get(step.rank)
        known = before[1] if before and before[0] == order else None
        return step.done is not None and step != known

    def _floor(self, rank: int | None) -> int:
        return self._foremost(self._at) if rank is None else self._foremost({None, rank})

    def _foremost(self, ranks: Iterable[int | None]) -> int:
        return max(map(self._order_of, ranks), default=-1)

    def _order_of(self, rank: int | None) -> int:
        return self._at[rank][0] if rank in self._at else -1


def _latest_first(rules: tuple[PhaseRule, ...]) -> tuple[_Rule, ...]:
    orders = {
        phase: order for order, phase in enumerate(dict.fromkeys(rule.phase for rule in rules))
    }
    made = (
        _Rule(orders[rule.phase], rule.phase, re.compile(rule.pattern), rule.after)
        for rule in rules
    )
    return tuple(sorted(made, key=lambda rule: -rule.order))


def _text(line: bytes) -> str:
    return _ANSI.sub("", line.decode("utf-8", errors="replace"))


def _step(phase: str, groups: dict[str, str | None]) -> ProgressStep:
    return ProgressStep(phase, *(_number(groups.get(name)) for name in ("rank", "done", "total")))


def _number(text: str | None) -> int | None:
    return int(text) if text else None
