"""A log within bounds: its beginning, its end, and what stands around the causes between."""

from collections import deque
from collections.abc import Iterator

from dsr1.launcher.triage.rules import is_cause

HEAD_BYTES, TAIL_BYTES, CAUSE_BYTES = 512 << 10, 1 << 20, 512 << 10
BEFORE, AFTER = 30, 60  # lines
LONGEST_LINE = 8000


class CappedLog:
    """Fed line by line; `text` is what is kept, with a line for each part that is left out."""

    def __init__(self) -> None:
        self._head: list[str] = []
        self._causes: list[str] = []
        self._tail: deque[str] = deque()
        self._bytes = {"head": 0, "causes": 0, "tail": 0}
        self._before: deque[str] = deque(maxlen=BEFORE)
        self._after = 0
        self._number = 0

    def feed(self, line: str) -> None:
        self._number += 1
        line = line[:LONGEST_LINE]
        if self._bytes["head"] < HEAD_BYTES:
            self._add(self._head, "head", line)
            return
        self._feed_causes(line)
        self._tail.append(line)
        self._bytes["tail"] += len(line) + 1
        while self._bytes["tail"] > TAIL_BYTES:
            self._bytes["tail"] -= len(self._tail.popleft()) + 1

    def text(self) -> str:
        return "\n".join(self._parts()) + "\n"

    def _feed_causes(self, line: str) -> None:
        """The first causes and what stands around them, as far as there is room."""
        if self._bytes["causes"] > CAUSE_BYTES:
            return
        if is_cause(line):
            self._causes.append(f"[dsr1: around line {self._number}]")
            for earlier in self._before:
                self._add(self._causes, "causes", earlier)
            self._before.clear()
            self._after = AFTER + 1
        if self._after:
            self._after -= 1
            self._add(self._causes, "causes", line)
        else:
            self._before.append(line)

    def _add(self, lines: list[str], part: str, line: str) -> None:
        lines.append(line)
        self._bytes[part] += len(line) + 1

    def _parts(self) -> Iterator[str]:
        yield from self._head
        if left_out := self._number - len(self._head) - len(self._tail):
            yield f"[dsr1: {left_out} lines are left out here, but for those around causes]"
            yield from self._causes
            yield "[dsr1: the end of the log]"
        yield from self._tail
