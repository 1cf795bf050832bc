"""A run's state as its supervisor knows it, written down as it changes."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace

from dsr1.hosts.protocol.events import Progress
from dsr1.hosts.transport.parallel import watch_parallel
from dsr1.launcher.health.verdicts import DEGRADED, READY, HealthReport
from dsr1.launcher.lifecycle.deployment import Availability, EngineUnit
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.run.ranks import Moment, advance, all_ready, first_table, heard_again
from dsr1.launcher.run.record.history import SUPERVISOR, Change, changes_between, record
from dsr1.launcher.run.record.starts import record_phases
from dsr1.launcher.run.settings import HookSettings
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.supervision.hooks import run_hook
from dsr1.launcher.run.supervision.messages import notes_of

MOST_NOTES = 200
SAVE_S = 0.2  # hundreds of ranks tell more in a second than can be written down


def this_moment() -> Moment:
    return Moment(time.time(), time.monotonic())


class StateWriter:
    """`state` is what was written, or is about to be."""

    def __init__(self, run: Run, plan: Plan, hooks: HookSettings) -> None:
        self._run, self._hooks, self._url = run, hooks, plan.service.url
        self._run_id = run.run_id()
        known = run.state()
        self.state: RunState = replace(known, ranks=known.ranks or first_table(plan, this_moment()))
        self._told = self.state  # by its history and its hooks
        self._unsaved, self._save_at = False, 0.0
        record_phases(run, known.ranks, self.state.ranks)

    def save(self, **changes: object) -> None:
        """A full disk must not end what serves: the state on disk is then the last that fitted."""
        before, now = self._told, time.time()
        since = self.state.since if changes.get("phase", before.phase) == before.phase else now
        self.state = self._told = replace(self.state, since=since, **changes)  # type: ignore[arg-type]
        self._unsaved, self._save_at = False, time.monotonic() + SAVE_S
        if self._run.is_still(self._run_id):  # else it is another run's to write there
            self._write(before, now)
        if before.phase != self.state.phase:
            run_hook(self._hooks, self._run, self.state, self._url)

    def _write(self, before: RunState, now: float) -> None:
        with contextlib.suppress(OSError):
            self._run.save(self.state)
        record_phases(self._run, before.ranks, self.state.ranks)
        for change in changes_between(before, self.state, now):
            record(self._run, change)

    def note_counted(self, work: Callable[..., tuple[str, ...]], *given: object) -> None:
        """What it says it did; meanwhile how far it is is told."""
        with watch_parallel(self.count):
            self.note(work(*given))

    def count(self, what: str, done: int, of: int) -> None:
        """What is done on so many hosts before there are ranks to tell of."""
        self.save(reason=f"{what} {done}/{of}" if done < of else "")

    def save_due(self, idle: bool) -> None:
        """What ranks have told, when nothing else is to be done or it has waited for long."""
        if self._unsaved and (idle or time.monotonic() >= self._save_at):
            self.save()

    def hear(self, item: object) -> None:
        """What follows for the state from what the supervisor hears."""
        self.note(notes_of(item))
        if isinstance(item, Progress):
            self._advance(item)
        if isinstance(item, HealthReport) and not self.state.engines:
            self.save(phase=item.phase, ailing=item.ailing)

    def note(self, words: tuple[str, ...]) -> None:
        if words:
            self.save(notes=(*self.state.notes, *words)[-MOST_NOTES:])

    def _advance(self, step: Progress) -> None:
        ranks = advance(self.state.ranks, step, this_moment())
        self.state, self._unsaved = replace(self.state, ranks=ranks), True

    def begin_again(self, plan: Plan, attempt: int) -> None:
        ranks = first_table(plan, this_moment())
        self.save(
            phase="starting",
            ranks=ranks,
            ready_after=None,
            restarts=attempt,
            ailing=(),
            engines=(),
        )

    def hear_again(self) -> None:
        """Taken over: nobody is late who hasn't been heard."""
        ranks = heard_again(self.state.ranks, this_moment())
        self.state = replace(self.state, ranks=ranks)

    def serves(self, seconds: float) -> None:
        ranks = all_ready(self.state.ranks, this_moment())
        after = self.state.ready_after or round(seconds, 2)
        self.save(phase="ready", ready_after=after, ranks=ranks, ailing=())

    def use(self, plan: Plan) -> None:
        """Ranks may be on other hosts now, or be others."""
        known = {(row.engine, row.rank): row for row in self.state.ranks}
        ranks = []
        for fresh in first_table(plan, this_moment()):
            row = known.get((fresh.engine, fresh.rank), fresh)
            ranks.append(replace(row, host=fresh.host, process=fresh.process))
        self.state = replace(self.state, ranks=tuple(ranks))

    def tell_engine(self, engine: EngineUnit, plan: Plan) -> None:
        """Its phase is another: its ranks' are, too, and it is kept for whoever asks later."""
        now, phase = this_moment(), engine.state.phase
        fresh = {(row.engine, row.rank): row for row in first_table(plan, now)}
        ranks = []
        for row in self.state.ranks:
            if row.engine == engine.name and phase == "starting":
                row = fresh[row.engine, row.rank]
            elif row.engine == engine.name and phase == "serving":
                (row,) = all_ready((row,), now)
            ranks.append(row)
        self.state = replace(self.state, ranks=tuple(ranks))
        why = engine.state.why.partition("\n")[0]
        record(self._run, Change(now.epoch, SUPERVISOR, phase, why, engine.name))

    def stand(self, now: Availability, engines: tuple[EngineUnit, ...]) -> None:
        """What all engines make of the deployment."""
        phase = DEGRADED if now.phase == READY and self.state.ailing else now.phase
        self.save(phase=phase, reason=now.words, engines=engines)

    def note_ailing(self, report: HealthReport) -> None:
        """Saved with what follows for the engines."""
        self.state = replace(self.state, ailing=report.ailing)

    def name_lost(self, hosts: tuple[str, ...]) -> None:
        """First: whatever its peers died of, they may have died of that."""
        lost = [host for host in hosts if not self.state.reason.startswith(f"{host} ")]
        if lost:
            first = f"{', '.join(lost)} can't be reached any more"
            self.save(reason="; ".join(filter(None, (first, self.state.reason))))
