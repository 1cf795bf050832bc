"""What a long job on a host and whoever ordered it say to each other: JSON, a line at a time."""

import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, field
from queue import SimpleQueue
from typing import Any

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.bounded import parse_bounded
from dsr1.hosts.protocol.facts.fact import reason_of
from dsr1.hosts.protocol.jobs.orders import Job, OrderT, PushMessage, PushReply, ResultT
from dsr1.hosts.protocol.log_lines import split_lines
from dsr1.hosts.protocol.plain import from_plain, parse_json, to_json

TICK_S, LAST_LINES, LONGEST_WORDS = 0.5, 3, 1000
NO_MESSAGE_S = 60.0


def render_size(count: float) -> str:
    """Bytes as disks are sold: `689.0 GB`, `7.1 MB`."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


class JobRefused(Exception):
    """A job can't be done. `kind` is whose fault: input (the order's), check (the host's) or work
    (what happened)."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class JobLost(Exception):
    """A job ended without a result; these are its last lines."""


@dataclass(frozen=True, slots=True)
class JobProgress:
    """Bytes; `doing` says what."""

    done: int
    total: int
    doing: str = ""


OnJobMessage = Callable[[JobProgress | PushMessage], PushReply | None]
"""Called with what a job says; a push waits for the reply to its messages."""


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
    """What a job works with: its meter, and its connection to whoever ordered it."""

    def __init__(self, replies: "SimpleQueue[bytes]") -> None:
        self.meter = Meter()
        self._replies = replies
        self._sending, self._asking = threading.Lock(), threading.Lock()

    def ask(self, message: PushMessage) -> PushReply:
        """Send a message, and wait for the reply: one at a time, whichever thread asks."""
        with self._asking:
            self.send({"message": asdict(message)})
            return parse_json(PushReply, self._replies.get())

    def refuse(self, kind: str, text: str) -> None:
        self.send({"refused": [kind, text]})

    def send(self, line: Mapping[str, Any]) -> None:
        with self._sending:
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()


JobFunction = Callable[[OrderT, JobContext], ResultT]
"""Raises JobRefused, or OSError where the system's own words say it best."""


def render_order(order: Any) -> bytes:
    """An order or a reply as a line for the job's stdin: no secret of it is in an argument."""
    return to_json(order) + b"\n"


def run_job_function(
    function: JobFunction[OrderT, ResultT], order: OrderT, replies: "SimpleQueue[bytes]"
) -> None:
    """Says how far it is twice a second, so that silence means a lost host; then the result, or why
    there is none."""
    context, over = JobContext(replies), threading.Event()
    ticker = threading.Thread(target=_tick, args=(context, over), daemon=True)
    ticker.start()
    last: dict[str, object]
    try:
        last = {"result": asdict(function(order, context))}  # type: ignore[call-overload]
    except JobRefused as refused:
        last = {"refused": [refused.kind, str(refused)]}
    except OSError as error:
        last = {"refused": ["work", _explain(error)]}
    over.set()
    ticker.join()
    context.send(last)


def _explain(error: OSError) -> str:
    return f"{error.filename}: {reason_of(error)}" if error.filename else reason_of(error)


def _tick(context: JobContext, over: threading.Event) -> None:
    while not over.wait(TICK_S):
        now = context.meter.read()
        context.send({"progress": [now.done, now.total, now.doing]})


def read_job(
    job: Job[OrderT, ResultT],
    blocks: Iterator[bytes],
    on_message: OnJobMessage,
    send: Callable[[bytes], object],
) -> ResultT:
    """The result. Raises JobRefused as the job did, JobLost when it ended otherwise; ValueError
    when what it says is no job's, or nothing of it has been for a while."""
    others: deque[str] = deque(maxlen=LAST_LINES)
    hearing = _Hearing()
    for line in split_lines(hearing.bounded(blocks)):
        match _parse(line):
            case {"progress": [int(done), int(total), str(doing)]}:
                hearing.heard()
                on_message(JobProgress(done, total, doing))
            case {"message": plain}:
                reply = on_message(from_plain(PushMessage, plain))
                hearing.heard()
                send(render_order(reply or PushReply()))
            case {"refused": [str(kind), str(text)]}:
                raise JobRefused(kind, text)
            case {"result": plain}:
                return from_plain(job.result, plain)
            case _:
                others.append(line[:LONGEST_WORDS].decode(errors="replace").strip())
    raise JobLost(" | ".join(others) or "without a message")


class _Hearing:
    """A job says how far it is twice a second: what says other things all the while is none."""

    def __init__(self) -> None:
        self.heard()

    def heard(self) -> None:
        self._at = time.monotonic()

    def bounded(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for block in blocks:
            if time.monotonic() - self._at > NO_MESSAGE_S:
                raise ValueError(f"no message of a job for {NO_MESSAGE_S:.0f} s, but other output")
            yield block


def _parse(line: bytes) -> object:
    """None: it is not JSON. A traceback comes the same way."""
    try:
        return parse_bounded(line)
    except ValueError:
        return None
