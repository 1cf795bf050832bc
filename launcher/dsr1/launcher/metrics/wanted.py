"""Whom to ask for what, beside the looks at health. Pure."""

from collections.abc import Iterator
from dataclasses import replace

from dsr1.hosts.protocol.facts.devices import DEVICES, PATH
from dsr1.hosts.protocol.http import HttpGet
from dsr1.launcher.health.members import frontend_gets
from dsr1.launcher.health.readings import WantedReadings
from dsr1.launcher.metrics.series import FRONTEND_LINES, SERVER_LINES, WORKER_LINES
from dsr1.launcher.plan.plan import Plan

DEVICES_S = 4.0


def wanted_readings(plan: Plan, timeout_s: float, devices: bool) -> WantedReadings:
    """Of workers their lines, of frontends their pages, and of every host its `devices`, whose
    reading takes NVML's time."""
    gets: dict[str, list[HttpGet]] = {}
    for host, get in _frontends(plan, timeout_s):
        gets.setdefault(host, []).append(get)
    if devices:
        for one in plan.hosts:
            own = HttpGet(DEVICES, 0, PATH, timeout_s=DEVICES_S)
            gets.setdefault(one.host, []).append(own)
    return WantedReadings(worker_lines(plan), gets)


def worker_lines(plan: Plan) -> tuple[str, ...]:
    serve = any(worker.url for worker in plan.service.workers)
    return SERVER_LINES if serve else WORKER_LINES


def _frontends(plan: Plan, timeout_s: float) -> Iterator[tuple[str, HttpGet]]:
    for host, gets in frontend_gets(plan, timeout_s).items():
        for one in gets:
            yield host, replace(one, path="/metrics", keep=FRONTEND_LINES)
