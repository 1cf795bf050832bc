"""What a long job on a host says while it works, and how: JSON, a line at a time, told the same way
by all of them."""

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

TICK_S, LAST_WORDS = 0.5, 3
JobOrder = Mapping[str, Any]
OnJobMessage = Callable[["JobProgress | JobMessage"], "JobOrder | None"]
"""What is heard of a job; an answer is a further order for it."""


def say_size(count: float) -> str:
    """Bytes in the words of those who sell disks."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


class JobRefused(Exception):
    """A job can't be done. `kind` is whose fault: input (the order's), check (the host's) or work
    (what happened)."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class JobProgress:
    """Bytes; `doing` says what."""

    done: int
    total: int
    doing: str = ""


@dataclass(frozen=True, slots=True)
class JobMessage:
    """What a job tells meanwhile; it waits for the answer."""

    plain: JobOrder


@dataclass(slots=True)
class Meter:
    """How far a job is: what its threads add, or what `measure` finds."""

    total: int = 0
    doing: str = ""
    done: int = 0
    measure: Callable[[], int] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, count: int) -> None:
        with self._lock:
            self.done += count

    def read(self) -> JobProgress:
        return JobProgress(self.measure() if self.measure else self.done, self.total, self.doing)


class JobContext:
    """Where a job works: its meter, and its line to whoever ordered it."""

    def __init__(self, further: "SimpleQueue[JobOrder]") -> None:
        self.meter = Meter()
        self._further = further
        self._saying = threading.Lock()

    def ask(self, plain: JobOrder) -> JobOrder:
        """Tell something, and wait for what to do next."""
        self.say({"told": plain})
        return self._further.get()

    def say(self, plain: Mapping[str, Any]) -> None:
        with self._saying:
            sys.stdout.write(json.dumps(plain) + "\n")
            sys.stdout.flush()


JobFunction = Callable[[JobOrder, JobContext], Mapping[str, Any]]
"""What it gives is JSON's. Raises Refused, or OSError where the system's own words say it best."""


def render_order(order: JobOrder) -> bytes:
    """A line, for the job's stdin: no secret of it is in an argument."""
    return json.dumps(order).encode() + b"\n"


def run_job_function(job: JobFunction, order: JobOrder, further: "SimpleQueue[JobOrder]") -> int:
    """Tells how far it is twice a second, so that silence means a lost host; then the result, or
    why there is none."""
    desk, over = JobContext(further), threading.Event()
    ticker = threading.Thread(target=_tick, args=(desk, over), daemon=True)
    ticker.start()
    last: dict[str, object]
    try:
        last = {"result": job(order, desk)}
    except JobRefused as refused:
        last = {"refused": [refused.kind, str(refused)]}
    except OSError as error:
        last = {"refused": ["work", _words(error)]}
    over.set()
    ticker.join()
    desk.say(last)
    return 0


def _words(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error or type(error).__name__}"


def _tick(desk: JobContext, over: threading.Event) -> None:
    while not over.wait(TICK_S):
        now = desk.meter.read()
        desk.say({"progress": [now.done, now.total, now.doing]})


class JobLost(Exception):
    """A job ended without a result; these are its last words."""


def read_job(
    lines: Iterator[bytes], hear: OnJobMessage, send: Callable[[bytes], object]
) -> dict[str, Any]:
    """The result. Raises Refused as the job did, BrokeOff when it ended otherwise."""
    words: list[str] = []
    for line in lines:
        match _parse(line):
            case {"progress": [int(done), int(total), str(doing)]}:
                hear(JobProgress(done, total, doing))
            case {"told": dict(plain)}:
                send(render_order(hear(JobMessage(plain)) or {}))
            case {"refused": [str(kind), str(text)]}:
                raise JobRefused(kind, text)
            case {"result": dict(result)}:
                return result
            case _:
                words.append(line.decode(errors="replace").strip())
    raise JobLost(" | ".join(words[-LAST_WORDS:]) or "it said nothing")


def _parse(line: bytes) -> object:
    """None: it is no JSON. A traceback comes the same way."""
    try:
        return json.loads(line)
    except ValueError:
        return None
