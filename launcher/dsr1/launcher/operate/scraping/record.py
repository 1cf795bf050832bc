"""The processes that scrape a run, as its folder records them: a run's end is theirs, too."""

import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.atomic import write_file
from dsr1.hosts.protocol.identity import RecordedProcess
from dsr1.hosts.protocol.plain import parse_json
from dsr1.launcher.run.store import Run

FOLDER, FILE = "prometheus", "server.json"
GRACE_S, POLL_S = 10.0, 0.05


@dataclass(frozen=True, slots=True)
class ScrapingRecord:
    """`bridge`, `prometheus` and `grafana`: where each listens, HOST:PORT; empty: not yet, or not
    at all. `child` is the Prometheus, `drawing` the Grafana."""

    server: RecordedProcess
    child: RecordedProcess | None = None
    bridge: str = ""
    prometheus: str = ""
    drawing: RecordedProcess | None = None
    grafana: str = ""


def scraping_folder(run: Run) -> Path:
    return run.folder / FOLDER


def save_scraping(run: Run, record: ScrapingRecord) -> None:
    write_file(scraping_folder(run) / FILE, json.dumps(asdict(record)).encode())


def forget_scraping(run: Run, server: RecordedProcess) -> None:
    """That server's have ended: so is told to another machine, which sees no processes."""
    if (record := read_scraping(run)) and record.server == server:
        (scraping_folder(run) / FILE).unlink(missing_ok=True)


def read_scraping(run: Run) -> ScrapingRecord | None:
    with suppress(OSError, ValueError):
        return parse_json(ScrapingRecord, (scraping_folder(run) / FILE).read_bytes())
    return None


def end_scraping(run: Run) -> tuple[str, ...]:
    """All of them, the server first, which ends the others itself; whoever doesn't is killed. What
    lives even then, in words, or may, on another machine."""
    if (record := read_scraping(run)) is None:
        return ()
    if host := record.server.elsewhere:
        return (
            f"its Prometheus was started on {host}: `dsr1 metrics {run.name} --down` there; if that"
            f" machine is gone for good, remove {scraping_folder(run) / FILE}",
        )
    processes = {"metrics bridge": record.server, "Prometheus": record.child}
    processes |= {"Grafana": record.drawing}
    return tuple(
        f"its {name} (pid {process.pid}) is still alive after SIGKILL"
        for name, process in processes.items()
        if process is not None and not end_process(process)
    )


def await_scraping_end(run: Run) -> tuple[str, ...]:
    """Of a run that is over: those on another machine end by themselves, soon. As
    `end_scraping`."""
    until = time.monotonic() + GRACE_S
    while (left := end_scraping(run)) and time.monotonic() < until:
        time.sleep(POLL_S)
    return left


def end_process(process: RecordedProcess) -> bool:
    """By SIGTERM, then SIGKILL. Whether it is gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not process.lives:
            return True
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)
        until = time.monotonic() + GRACE_S
        while process.lives and time.monotonic() < until:
            time.sleep(POLL_S)
    return not process.lives
