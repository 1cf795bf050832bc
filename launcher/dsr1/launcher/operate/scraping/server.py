"""A Prometheus of a run's own, and the bridge that it asks, in a process of their own; both end
with the run."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx

from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.launcher.metrics.prometheus.configuration import RULES_FILE, render_configuration
from dsr1.launcher.metrics.prometheus.rules import render_alert_rules
from dsr1.launcher.operate.backends import backend_of
from dsr1.launcher.operate.scraping.bridge import Bridge, BridgeServer
from dsr1.launcher.operate.scraping.pages import KeptLinks
from dsr1.launcher.operate.scraping.record import (
    ScrapingRecord,
    end_process,
    read_scraping,
    recorded,
    save_scraping,
    scraping_folder,
)
from dsr1.launcher.operate.status import EndWatch
from dsr1.launcher.run.store import Run

LOOPBACK, LOOK_S, READY_S, POLL_S = "127.0.0.1", 1.0, 60.0, 0.1
SIZE = "2GB"
PROGRAM = "prometheus"


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


def open_bridge(run: Run, address: str, port: int) -> BridgeServer:
    """It serves from now on. InputError: it can't listen there."""
    links = KeptLinks(backend_of(run).transport(run))
    try:
        server = BridgeServer(Bridge(links, lambda: (run.plan(), run.state())), address, port)
    except OSError as error:
        raise InputError(f"--listen {address}:{port}: {error.strerror or error}") from None
    server.begin()
    return server


def start_scraping(run: Run, address: str) -> ScrapingRecord:
    """Returns when Prometheus is ready. InputError: it isn't installed; LaunchFailed: it doesn't
    come up. What runs already is left as it is."""
    if shutil.which(PROGRAM) is None:
        raise InputError(
            "--up: prometheus isn't installed here: apt-get install prometheus, or scrape the run"
            " with yours: `dsr1 metrics RUN --serve`"
        )
    if (known := read_scraping(run)) and known.server.lives and known.prometheus:
        return known
    folder = scraping_folder(run)
    folder.mkdir(exist_ok=True)
    argv = (sys.executable, "-P", "-m", "dsr1.launcher.operate.scraping", str(run.folder), address)
    with (folder / "server.log").open("ab") as log:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    save_scraping(run, ScrapingRecord(recorded(child.pid)))
    return _await_ready(run, child.pid, folder / "server.log")


def _await_ready(run: Run, pid: int, log: Path) -> ScrapingRecord:
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        found = read_scraping(run)
        if found is None or found.server.pid != pid or not found.server.lives:
            raise LaunchFailed(f"{run.name}: its Prometheus did not start: {_last_line(log)}")
        if found.prometheus and is_ready(found.prometheus):
            return found
        time.sleep(POLL_S)
    raise LaunchFailed(f"{run.name}: its Prometheus isn't ready after {READY_S:g} s; see {log}")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"see {log}"


def is_ready(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/-/ready", timeout=2.0, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def serve_until_end(run: Run, address: str) -> None:
    """The process itself: bridge and Prometheus, until the run is over or it is told to end."""
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _: asked.append(got))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    server = open_bridge(run, address, 0)
    record = ScrapingRecord(recorded(os.getpid()), bridge=server.reached)
    child = _start_prometheus(run, address, server.reached)
    try:
        at, process = child
        save_scraping(run, replace(record, child=recorded(process.pid), prometheus=at))
        _wait(EndWatch(run).is_over, lambda: bool(asked) or process.poll() is not None)
    finally:
        _end_child(child[1])


def _wait(is_over: Callable[[], bool], is_asked: Callable[[], bool]) -> None:
    while not is_asked():
        try:
            if is_over():
                return
        except LaunchFailed:  # its folder was removed
            return
        time.sleep(LOOK_S)


def _start_prometheus(run: Run, address: str, bridge: str) -> tuple[str, "subprocess.Popen[bytes]"]:
    """Where it listens, and its process."""
    folder = scraping_folder(run)
    (folder / RULES_FILE).write_text(render_alert_rules())
    (folder / "prometheus.yml").write_text(render_configuration(bridge))
    at = f"{address}:{_free_port(address)}"
    argv = (
        PROGRAM,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--storage.tsdb.retention.size={SIZE}",
        f"--web.listen-address={at}",
    )
    return at, subprocess.Popen(argv, stdin=subprocess.DEVNULL)


def _free_port(address: str) -> int:
    with closing(socket.socket()) as tried:
        tried.bind((address, 0))
        return int(tried.getsockname()[1])


def _end_child(child: "subprocess.Popen[bytes]") -> None:
    """A zombie counts as ended."""
    if child.poll() is None:
        end_process(recorded(child.pid))
    child.wait()
