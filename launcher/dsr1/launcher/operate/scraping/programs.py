"""The process that a run's own Prometheus and Grafana live in, with the bridge: all end with the
run."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import bcrypt

from dsr1.hosts.errors import InputError
from dsr1.hosts.protocol.identity import record_process
from dsr1.launcher.metrics.prometheus.access import ScrapingAccess
from dsr1.launcher.metrics.prometheus.configuration import (
    RULES_FILE,
    render_configuration,
    render_web,
)
from dsr1.launcher.metrics.prometheus.grafana import INI, grafana_files
from dsr1.launcher.metrics.prometheus.rules import render_alert_rules
from dsr1.launcher.operate.scraping.record import (
    ScrapingRecord,
    end_process,
    forget_scraping,
    save_scraping,
    scraping_folder,
)
from dsr1.launcher.operate.status import EndWatch
from dsr1.launcher.run.store import Run

LOOK_S, SIZE = 1.0, "2GB"
ROUNDS = 10
"""Of bcrypt, 2 to the power of: Prometheus computes it anew for each request that it doesn't know.
"""
PROGRAM, GRAFANA_LOG = "prometheus", "grafana.log"
PACKAGED = "/usr/share/grafana"
"""Where Grafana's own packages for Debian and Red Hat have its home."""
Child = subprocess.Popen[bytes]


def find_prometheus() -> str:
    """InputError: it isn't installed."""
    if found := shutil.which(PROGRAM):
        return found
    raise InputError(
        "--up: prometheus isn't installed here: apt-get install prometheus, or scrape the run"
        " with yours: `dsr1 metrics RUN --serve`"
    )


def find_grafana(environment: Mapping[str, str]) -> Path | None:
    """The home of one that is installed: by GRAFANA_HOME, as an unpacked archive whose `bin` is in
    PATH, or by a package."""
    named = [environment.get("GRAFANA_HOME", "")]
    programs = (shutil.which(one, path=environment.get("PATH")) for one in _NAMES)
    named += [str(Path(one).resolve().parent.parent) for one in programs if one]
    homes = [Path(one) for one in (*named, PACKAGED) if one]
    return next((home for home in homes if _is_home(home)), None)


_NAMES = ("grafana", "grafana-server")


def _is_home(folder: Path) -> bool:
    return os.access(folder / "bin/grafana", os.X_OK) and (folder / "conf/defaults.ini").is_file()


def run_programs(run: Run, address: str, bridge: str, access: ScrapingAccess) -> None:
    """Until the run is over, the Prometheus has ended, or this process is told to end."""
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _: asked.append(got))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    children: list[Child] = []
    server = record_process(os.getpid())
    try:
        record = ScrapingRecord(server, bridge=bridge)
        at = f"{address}:{_free_port(address)}"
        children.append(_start_prometheus(run, at, bridge, access))
        record = replace(record, child=record_process(children[0].pid), prometheus=at)
        save_scraping(run, record)
        if home := find_grafana(os.environ):
            port = _free_port(address)
            children.append(_start_grafana(run, home, (address, port), at, access))
            drawing = record_process(children[1].pid)
            record = replace(record, drawing=drawing, grafana=f"{address}:{port}")
            save_scraping(run, record)
        watch = EndWatch(run)
        while not (asked or children[0].poll() is not None or watch.is_over()):
            time.sleep(LOOK_S)
    finally:
        for child in reversed(children):
            _end_child(child)
        forget_scraping(run, server)


def _start_prometheus(run: Run, at: str, bridge: str, access: ScrapingAccess) -> Child:
    folder = scraping_folder(run)
    texts = {
        RULES_FILE: render_alert_rules(),
        "prometheus.yml": render_configuration(bridge, access),
        "web.yml": render_web(access, hashed(access.password)),
    }
    for name, text in texts.items():
        _write(folder / name, text)
    argv = (
        find_prometheus(),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--web.config.file={folder / 'web.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--storage.tsdb.retention.size={SIZE}",
        f"--web.listen-address={at}",
    )
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL)


def hashed(password: str) -> str:
    """As Prometheus wants it."""
    salt = bcrypt.gensalt(ROUNDS)
    return bcrypt.hashpw(password.encode(), salt).decode() if password else ""


def _start_grafana(
    run: Run, home: Path, listen: tuple[str, int], prometheus: str, access: ScrapingAccess
) -> Child:
    """With its own configuration alone: whoever calls may have GF_* for another."""
    folder = scraping_folder(run) / "grafana"
    for name, text in grafana_files(folder, listen, prometheus, access).items():
        _write(folder / name, text)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GF_")}
    argv = (home / "bin/grafana", "server", "--homepath", home, "--config", folder / INI)
    with (scraping_folder(run) / GRAFANA_LOG).open("ab") as log:
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        )


def _write(file: Path, text: str) -> None:
    """For its owner alone: one of them holds a password's hash."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.touch(mode=0o600)
    file.write_text(text)


def _free_port(address: str) -> int:
    with closing(socket.socket()) as tried:
        tried.bind((address, 0))
        return int(tried.getsockname()[1])


def _end_child(child: Child) -> None:
    """A zombie counts as ended."""
    if child.poll() is None:
        end_process(record_process(child.pid))
    child.wait()
