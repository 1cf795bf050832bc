"""Keeps what the looks at health read of a deployment."""

import time
import traceback
from dataclasses import replace
from pathlib import Path

from dsr1.launcher.health.members import watched_ranks
from dsr1.launcher.health.readings import NOTHING_MORE, Readings, WantedReadings
from dsr1.launcher.metrics.samples import Snapshot
from dsr1.launcher.metrics.snapshot import make_snapshot
from dsr1.launcher.metrics.store import add_snapshot
from dsr1.launcher.metrics.wanted import wanted_readings
from dsr1.launcher.plan.plan import Plan

EVERY_S, DEVICES_S = 10.0, 30.0
"""Seconds between two snapshots, and between two questions for devices: a worker's page and NVML
take the host's time, and an agent is to need less than a hundredth of a core. A look comes a
little early or late."""
EARLY = 0.9


class MetricsRecorder:
    """Of one plan, into the run's folder. `read_s`: how long a server may take to answer."""

    def __init__(self, folder: Path, plan: Plan, read_s: float) -> None:
        self._folder, self._plan, self._read_s = folder, plan, read_s
        self._ranks = watched_ranks(plan)
        self._next_at = self._devices_at = time.monotonic()
        self._wanted = self._devices = False
        self._last, self._told = Snapshot(0.0, 0.0), ""

    def wants(self) -> WantedReadings:
        now = time.monotonic()
        self._wanted = now >= self._next_at
        if not self._wanted:
            return NOTHING_MORE
        self._next_at = now + EVERY_S * EARLY
        self._devices = now >= self._devices_at
        if self._devices:
            self._devices_at = now + DEVICES_S * EARLY
        return wanted_readings(self._plan, self._read_s, self._devices)

    def take(self, readings: Readings) -> None:
        """A disk that is full or slow, or a fault of ours, costs the snapshot, not the watch.
        Between two questions for devices they count as they were."""
        if not self._wanted:
            return
        try:
            now = make_snapshot(self._ranks, readings, time.time(), time.monotonic())
            if not self._devices:
                now = replace(now, gpus=self._last.gpus, ports=self._last.ports)
            self._last = now
            add_snapshot(self._folder, now)
        except Exception as error:  # noqa: BLE001 - it is told in supervisor.log, once
            if str(error) != self._told:
                self._told = str(error)
                traceback.print_exc()
