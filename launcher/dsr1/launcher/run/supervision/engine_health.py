"""The watch over the health of ranks, while engines come and go."""

import threading
import traceback
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from dsr1.launcher.health.ready import FirstAnswers, ask_every_rank
from dsr1.launcher.health.watch import HealthWatch
from dsr1.launcher.metrics.recorder import MetricsRecorder
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.run.agents import Agents
from dsr1.launcher.run.settings import RunSettings
from dsr1.launcher.run.supervision.background import MessageQueue, in_background
from dsr1.launcher.run.supervision.messages import ServiceReady

AGAIN_S = 30.0


class EngineHealth:
    """`first`: the answers that later ones are compared with; None: they are asked for.
    `folder`: the run's, for its metrics."""

    def __init__(
        self,
        agents: Agents,
        queue: MessageQueue,
        settings: RunSettings,
        first: FirstAnswers | None,
        folder: Path,
    ) -> None:
        self._folder = folder
        self._agents, self._queue, self._settings, self._first = agents, queue, settings, first
        self._watch: HealthWatch | None = None
        self._done = threading.Event()

    def begin(self, plan: Plan, absent: Iterable[str]) -> None:
        """Of this plan, whatever was watched before. `absent` engines aren't looked at."""
        self.close()
        settings, self._done = self._settings, threading.Event()
        if self._first is None:
            in_background(self._ask, plan, self._done)
            return
        recorder = MetricsRecorder(self._folder, plan, settings.health.read_s)
        own = (self._agents, self._first, settings.access, recorder)
        self._watch = HealthWatch(plan, settings.health, *own)
        for engine in absent:
            self._watch.leave_out(engine)
        in_background(self._watch.run, self._done, self._queue.put)

    def hear(self, first: FirstAnswers, plan: Plan, absent: Iterable[str]) -> None:
        self._first = first
        self.begin(plan, absent)

    def forget(self, engine: str) -> None:
        """It is another one now, and may answer otherwise."""
        if self._first:
            kept = {key: text for key, text in self._first.baseline.items() if key[0] != engine}
            self._first = replace(self._first, baseline=kept)

    def renew(self, settings: RunSettings) -> None:
        """All ranks are asked anew what later answers are compared with."""
        self._settings, self._first = settings, None

    def note(self, engine: str, serves: bool) -> None:
        if self._watch and serves:
            self._watch.take_in(engine)
        elif self._watch:
            self._watch.leave_out(engine)

    def close(self) -> None:
        self._done.set()
        self._watch = None

    def _ask(self, plan: Plan, done: threading.Event) -> None:
        """Again and again where that fails: a deployment is not left unwatched."""
        settings = self._settings
        while not done.is_set():
            try:
                first = ask_every_rank(plan, settings.health, self._agents, settings.access)
            except Exception:  # noqa: BLE001 - it is told in supervisor.log
                traceback.print_exc()
                done.wait(AGAIN_S)
            else:
                self._queue.put(ServiceReady(first))
                return
