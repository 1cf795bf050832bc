"""A Prometheus of a run's own, a Grafana where there is one, and the bridge that is asked: begun
and awaited. programs.py has the process that they live in."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx

from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.hosts.protocol.identity import record_process
from dsr1.launcher.metrics.prometheus.access import USER, ScrapingAccess
from dsr1.launcher.operate.backends import backend_of
from dsr1.launcher.operate.scraping.access import (
    client_context,
    server_context,
)
from dsr1.launcher.operate.scraping.bridge import Bridge, BridgeServer
from dsr1.launcher.operate.scraping.pages import KeptLinks
from dsr1.launcher.operate.scraping.programs import GRAFANA_LOG, find_prometheus
from dsr1.launcher.operate.scraping.record import (
    ScrapingRecord,
    end_scraping,
    read_scraping,
    save_scraping,
    scraping_folder,
)
from dsr1.launcher.run.store import Run

LOOPBACK, READY_S, POLL_S = "127.0.0.1", 60.0, 0.1
GRAFANA_S = 180.0
"""Its first start makes a database."""
AnswersAt = Callable[[str, str], bool]


def control_address(run: Run) -> str:
    """That of the run's hosts which is this machine's; where none is, the loopback."""
    for host in run.plan().hosts:
        with closing(socket.socket()) as tried:
            try:
                tried.bind((host.address, 0))
            except OSError:
                continue
            return host.address
    return LOOPBACK


def open_bridge(run: Run, address: str, port: int, access: ScrapingAccess) -> BridgeServer:
    """It serves from now on. InputError: it can't listen there."""
    door = (server_context(access), access.password)
    links = KeptLinks(backend_of(run).transport(run))
    bridge = Bridge(links, lambda: (run.plan(), run.state()))
    try:
        server = BridgeServer(bridge, address, port, *door)
    except OSError as error:
        raise InputError(f"--listen {address}:{port}: {error.strerror or error}") from None
    server.begin()
    return server


def start_scraping(run: Run, address: str, access: ScrapingAccess) -> ScrapingRecord:
    """Returns when Prometheus is ready. InputError: it isn't installed; LaunchFailed: it doesn't
    come up, or another machine may have one. What runs already is left as it is."""
    known = read_scraping(run)
    if known and known.server.elsewhere:
        raise LaunchFailed(f"{run.name}: {'; '.join(end_scraping(run))}")
    if known and known.server.lives and known.prometheus:
        return known
    find_prometheus()
    folder = scraping_folder(run)
    folder.mkdir(exist_ok=True)
    argv = (sys.executable, "-P", "-m", "dsr1.launcher.operate.scraping", str(run.folder), address)
    with (folder / "server.log").open("ab") as log:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    save_scraping(run, ScrapingRecord(record_process(child.pid)))
    with asking(access) as answers:
        return _await_ready(run, child.pid, folder / "server.log", answers)


def _await_ready(run: Run, pid: int, log: Path, answers: AnswersAt) -> ScrapingRecord:
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        found = read_scraping(run)
        if found is None or found.server.pid != pid or not found.server.lives:
            raise LaunchFailed(f"{run.name}: its Prometheus did not start: {_last_line(log)}")
        if found.prometheus and answers(found.prometheus, "/-/ready"):
            return found
        time.sleep(POLL_S)
    raise LaunchFailed(f"{run.name}: its Prometheus isn't ready after {READY_S:g} s; see {log}")


def await_grafana(run: Run, record: ScrapingRecord, access: ScrapingAccess) -> str:
    """Why it isn't there, in words; empty: it is, or there is none to be had."""
    log, until = scraping_folder(run) / GRAFANA_LOG, time.monotonic() + GRAFANA_S
    with asking(access) as answers:
        while record.drawing and not answers(record.grafana, "/api/health"):
            if not record.drawing.lives:
                return f"its Grafana did not start: {_last_line(log)} ({log})"
            if time.monotonic() > until:
                return f"its Grafana isn't ready after {GRAFANA_S:g} s; see {log}"
            time.sleep(POLL_S)
    return ""


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"see {log}"


@contextmanager
def asking(access: ScrapingAccess) -> Iterator[AnswersAt]:
    """Whether a process of the run's own, at HOST:PORT, answers a path well."""
    auth = (USER, access.password) if access.password else None
    context = client_context(access)
    with httpx.Client(verify=context, auth=auth, timeout=2.0, trust_env=False) as client:

        def answers(address: str, path: str) -> bool:
            try:
                return client.get(f"{access.scheme}://{address}{path}").is_success
            except httpx.HTTPError:
                return False

        yield answers
