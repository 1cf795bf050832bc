"""Which lines of a run's logs somebody wants, and their order by time. Pure."""

import heapq
import re
from collections import deque
from collections.abc import Iterable, Iterator

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.launcher.operate.logs import LogChunk, only_causes
from dsr1.launcher.triage.log_line import time_of

_HEAD = 400  # characters of a line, where its time stands
MOST_LINES = 100_000  # of a process, where lines are put in order


@dataclass(frozen=True, slots=True)
class TimedLine:
    """`time` in seconds since the epoch: its own, or that of the line before it; 0 before any."""

    time: float
    host: str
    process: str
    text: str


@dataclass(frozen=True, slots=True)
class LogFilter:
    """`since`: seconds since the epoch. `process` and `host`: their names, empty for all."""

    process: str = ""
    host: str = ""
    since: float | None = None
    pattern: re.Pattern[str] | None = None
    errors: bool = False

    def keeps(self, line: TimedLine) -> bool:
        """Messages of dsr1's are kept."""
        if not line.process:
            return True
        after = self.since is None or line.time >= self.since
        return after and (self.pattern is None or bool(self.pattern.search(line.text)))

    def is_meant(self, chunk: LogChunk) -> bool:
        host = self.host in ("", chunk.host)
        return host and (not chunk.process or self.process in ("", chunk.process))


def parse_pattern(text: str) -> re.Pattern[str]:
    """InputError: it is no regular expression."""
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise InputError(f"--grep {text!r}: is no regular expression: {error}") from None


def timed_lines(
    chunks: Iterable[LogChunk], wanted: LogFilter, year: int, utc_offset_s: float
) -> Iterator[TimedLine]:
    """As they come."""
    last: dict[tuple[str, str], float] = {}
    for chunk in filter(wanted.is_meant, chunks):
        shown = only_causes(chunk) if wanted.errors else chunk
        for text in shown.text.split("\n") if shown else ():
            key = (chunk.host, chunk.process)
            moment = time_of(text[:_HEAD], year, utc_offset_s)
            last[key] = moment if moment is not None else last.get(key, 0.0)
            line = TimedLine(last[key], chunk.host, chunk.process, text)
            if wanted.keeps(line):
                yield line


def by_time(lines: Iterable[TimedLine], tail: int | None) -> list[TimedLine]:
    """Of all processes, the last `tail` of each, and no more than fit into memory; lines of one
    stay in their order."""
    logs: dict[tuple[str, str], deque[TimedLine]] = {}
    dropped: dict[tuple[str, str], None] = {}
    for line in lines:
        key = (line.host, line.process)
        own = logs.setdefault(key, deque(maxlen=tail or MOST_LINES))
        if len(own) == MOST_LINES:
            dropped[key] = None
        own.append(line)
    cut = (TimedLine(0.0, host, "", _cut_words(host, process)) for host, process in dropped)
    return [*cut, *heapq.merge(*logs.values(), key=lambda line: line.time)]


def _cut_words(host: str, process: str) -> str:
    return f"{process} on {host}: only its last {MOST_LINES} lines are shown; --tail, --since, -f"


def as_chunks(lines: Iterable[TimedLine]) -> Iterator[LogChunk]:
    yield from (LogChunk(line.host, line.process, line.text) for line in lines)
