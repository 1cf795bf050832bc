"""`dsr1 metrics`: a run's metrics for a Prometheus, and its alerts."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.hosts.protocol.atomic import write_file
from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.options.common import RunName
from dsr1.launcher.metrics.prometheus.dashboard import render_dashboard
from dsr1.launcher.metrics.prometheus.rules import render_alert_rules
from dsr1.launcher.metrics.prometheus.targets import direct_groups
from dsr1.launcher.operate.scraping.access import read_access
from dsr1.launcher.operate.scraping.record import end_scraping
from dsr1.launcher.operate.scraping.server import (
    await_grafana,
    control_address,
    open_bridge,
    start_scraping,
)
from dsr1.launcher.operate.status import (
    EndWatch,
    find_any,
    refuse_elsewhere,
    refuse_ended,
    refuse_unplanned,
)
from dsr1.launcher.run.folder import TARGETS
from dsr1.launcher.run.store import Run

LOOK_S = 1.0


def metrics(
    run: RunName = None,
    to: Annotated[
        str, typer.Option("--to", metavar="FOLDER", help="Default: RUN-metrics, here.")
    ] = "",
    serve: Annotated[
        bool,
        typer.Option(
            "--serve", help="Serve all pages and the list of them (http_sd), until the run ends."
        ),
    ] = False,
    listen: Annotated[
        str,
        typer.Option(
            "--listen", metavar="ADDRESS[:PORT]", help="Default: this machine's control address."
        ),
    ] = "",
    up: Annotated[
        bool,
        typer.Option(
            "--up",
            help="Start a Prometheus of the run's own, and a Grafana where it is installed; they"
            " end with it.",
        ),
    ] = False,
    down: Annotated[
        bool, typer.Option("--down", help="End the run's own Prometheus and Grafana.")
    ] = False,
) -> None:
    """Write what a Prometheus and a Grafana need to watch a run, or start one.

    Targets, rules with remedies, and a dashboard. Workers can be asked on their own hosts alone:
    --serve asks them through the agents for a Prometheus of yours, --up for one of the run's own.
    """
    found = find_any(run)
    refuse_unplanned(found)
    if down:
        _stop_scraping(found)
    elif up:
        _start(found, listen)
    elif serve:
        _serve(found, listen)
    else:
        write_files(found, Path(to or f"{found.name}-metrics"))


def _start(run: Run, listen: str) -> None:
    refuse_ended(run)
    refuse_elsewhere(run)
    address, port = parse_listen(listen, run)
    if port:
        raise InputError(f"--listen {listen}: with --up ports are chosen; give an address alone")
    access = read_access(run.recipe().metrics)
    record, scheme = start_scraping(run, address, access), access.scheme
    bridge = f"{scheme}://{record.bridge}/targets"
    servers = {"prometheus": f"{scheme}://{record.prometheus}", "bridge": bridge, "grafana": ""}
    ANSWER.put("metrics-servers", servers)
    print(f"Prometheus: {scheme}://{record.prometheus}  (bridge: {bridge})", flush=True)
    if problem := await_grafana(run, record, access):
        print(f"{run.name}: {problem}", file=sys.stderr)
    elif record.grafana:
        ANSWER.put("metrics-servers", {**servers, "grafana": f"{scheme}://{record.grafana}"})
        print(f"Grafana: {scheme}://{record.grafana}")


def _stop_scraping(run: Run) -> None:
    if left := end_scraping(run):
        raise LaunchFailed(f"{run.name}: {'; '.join(left)}")
    ANSWER.put("metrics-servers", {"prometheus": "", "bridge": "", "grafana": ""})
    print(f"{run.name}: no Prometheus or Grafana of its own runs")


def _serve(run: Run, listen: str) -> None:
    refuse_ended(run)
    refuse_elsewhere(run)
    access, watch = read_access(run.recipe().metrics), EndWatch(run)
    server = open_bridge(run, *parse_listen(listen, run), access)
    bridge = f"{access.scheme}://{server.reached}/targets"
    ANSWER.put("metrics-servers", {"prometheus": "", "bridge": bridge, "grafana": ""})
    ANSWER.tell_now()
    print(f"http_sd: {bridge}", flush=True)
    while not watch.is_over():
        time.sleep(LOOK_S)


def write_files(run: Run, folder: Path) -> None:
    """InputError: the folder can't be written."""
    texts = {
        TARGETS: json.dumps(direct_groups(run.plan()), indent=1),
        "rules.yml": render_alert_rules(),
        "dashboard.json": render_dashboard(),
    }
    try:
        folder.mkdir(exist_ok=True, parents=True)
        for name, text in texts.items():
            write_file(folder / name, text.encode())
    except OSError as error:
        raise InputError(f"{folder}: can't be written: {error.strerror}") from None
    files = [str(folder / name) for name in texts]
    ANSWER.put("metrics-files", {"files": files, "targets": str(run.folder / TARGETS)})
    print(f"{folder}: {', '.join(texts)}")
    if not run.state().ended:
        print(f"kept up to date while the run changes: {run.folder / TARGETS}")


def parse_listen(text: str, run: Run) -> tuple[str, int]:
    """Address and port; 0: any that is free."""
    address, _, port = text.rpartition(":") if ":" in text else (text, "", "0")
    if not port.isdecimal() or int(port) > 65535:
        raise InputError(f"--listen {text!r}: wants ADDRESS or ADDRESS:PORT, for example 10.0.0.1")
    return address or control_address(run), int(port)
