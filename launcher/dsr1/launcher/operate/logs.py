"""A run's logs from all its hosts as one stream, in the order in which the lines come."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from queue import Empty, Queue

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import HostError
from dsr1.hosts.transport.base import Transport
from dsr1.launcher.operate.backends import backend_of
from dsr1.launcher.run.stop import host_names
from dsr1.launcher.run.store import Run
from dsr1.launcher.triage.rules import cause_in

WAIT_S = 0.5
# A terminal slower than the logs makes the hosts wait; it costs no memory here.
MOST_WAITING = 64


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Whole lines of a process's log, as many as came at once; without a process it is a
    message of dsr1's about the host."""

    host: str
    process: str
    text: str


def stream_logs(run: Run, follow: bool) -> Iterator[LogChunk]:
    """All lines so far, and with `follow` those to come until the run has ended."""
    queue: Queue[LogChunk | None] = Queue(MOST_WAITING)
    backend = backend_of(run)
    transport, hosts, done = backend.transport(run), host_names(run), threading.Event()
    for host in hosts:
        threading.Thread(
            target=_read, args=(transport, host, follow, done, queue), daemon=True
        ).start()
    reading = len(hosts)
    while reading:
        try:
            lines = queue.get(timeout=WAIT_S)
        except Empty:
            if follow and backend.state(run).ended:
                done.set()
            continue
        if lines is None:
            reading -= 1
        else:
            yield lines


def only_causes(chunk: LogChunk) -> LogChunk | None:
    """Its lines that are causes of a failure, each with its meaning, and messages of dsr1's. None:
    it has none."""
    if not chunk.process:
        return chunk
    found = [(line, cause_in(line)) for line in chunk.text.split("\n")]
    lines = [f"{line}\n  = {rule.meaning}" for line, rule in found if rule]
    return replace(chunk, text="\n".join(lines)) if lines else None


def _read(
    transport: Transport,
    host: str,
    follow: bool,
    done: threading.Event,
    queue: "Queue[LogChunk | None]",
) -> None:
    try:
        for process, text in transport.logs(
            host, (lambda: not done.is_set()) if follow else (lambda: False)
        ):
            queue.put(LogChunk(host, process, text))
    except HostError as error:
        queue.put(LogChunk(host, "", str(error)))
    finally:
        queue.put(None)
