"""The change that is wanted of a deployment: a file in the run's folder, which whoever wants it
writes, and the supervisor carries on, whichever it is."""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.launcher.lifecycle.changes import (
    MOVE,
    STOP,
    BringIn,
    ChangeOrder,
    TakeOut,
    TellEngine,
    WantedChange,
    go_on,
)
from dsr1.launcher.lifecycle.deployment import EngineUnit
from dsr1.launcher.lifecycle.events import AskedEvent
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.run.record.history import SUPERVISOR, Change, record
from dsr1.launcher.run.settings import RunSettings
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.supervision.changing.versions import ChangeGoal, RunVersion


def ask_for(run: Run, change: WantedChange, goal: ChangeGoal | None = None) -> None:
    """InputError: another is going on."""
    with run.locked():
        known = run.wanted_change()
        if known and not known.is_over:
            raise InputError(
                f"{run.name}: {known.verb} of {', '.join(known.engines)}, which {known.who} wants,"
                " is going on; wait for its end"
            )
        run.save_change_goal(goal)
        run.save_wanted_change(change)
    what = f"{change.verb} {', '.join(change.engines)}".strip()
    record(run, Change(change.asked_at, change.who, what, change.why, host=change.host))


class ChangedDeployment(Protocol):
    """What a change may do to a deployment that serves."""

    @property
    def engines(self) -> Mapping[str, EngineUnit]: ...

    def tell(self, engine: str, event: AskedEvent, /) -> None: ...

    def bring_in(self, engine: str, source: Plan, /) -> None:
        """Give it its processes of that plan."""

    def take_out(self, engine: str, /) -> None: ...

    def leave(self, host: str, at_once: bool, /) -> None:
        """Give a host up."""

    def begin(self, goal: ChangeGoal, /) -> str:
        """Why the change can't begin; empty: it has."""

    def settle(self, version: RunVersion, /) -> None:
        """The change is over, and the deployment like that from now on."""


class ChangeInProgress:
    """Everything that it does may be done again: a supervisor that is killed in the middle leaves
    it to the next one."""

    def __init__(self, run: Run, deployment: ChangedDeployment) -> None:
        self._run, self._deployment = run, deployment

    @property
    def may_undo(self) -> bool:
        """Whether one goes on that is undone where it fails."""
        known = self._run.wanted_change()
        return known is not None and known.undoes and not known.is_over

    def look(self) -> None:
        """A full disk delays it."""
        with contextlib.suppress(LaunchFailed, OSError):
            while self._moves():
                pass

    def _moves(self) -> bool:
        """Whether more may be done at once."""
        known = self._run.wanted_change()
        if known is None or known.is_over:
            return False
        goal = self._run.change_goal()
        change, orders = go_on(known, self._deployment.engines, time.time())
        if known.phase == "asked" and goal and (problem := self._deployment.begin(goal)):
            change, orders = _refused(known, problem), ()
        elif change.is_over and goal:
            self._deployment.settle(goal.after if change.phase == "done" else goal.before)
        self._write(known, change)
        for order in orders:
            self._carry_out(change, goal, order)
        return change != known and not orders

    def _carry_out(self, change: WantedChange, goal: ChangeGoal | None, order: ChangeOrder) -> None:
        step = change.step
        match order:
            case TellEngine(engine, event):
                if step and step.what == MOVE:
                    self._deployment.leave(change.host, False)
                self._deployment.tell(engine, event)
            case BringIn(engine, before):
                if goal:
                    version = goal.before if before else goal.after
                    self._deployment.bring_in(engine, version.plan)
            case TakeOut(engine):
                self._deployment.take_out(engine)

    def _write(self, before: WantedChange, change: WantedChange) -> None:
        if change == before:
            return
        self._run.save_wanted_change(change)
        if change.phase == before.phase:
            return
        what = f"{change.verb} {change.phase}"
        record(self._run, Change(time.time(), SUPERVISOR, what, change.words or change.why))
        stopped = any(step.what == STOP for step in change.steps)
        if change.phase == "done" and change.host and stopped:
            self._deployment.leave(change.host, True)


def _refused(change: WantedChange, problem: str) -> WantedChange:
    from dataclasses import replace

    return replace(change, phase="failed", words=problem)


def as_before_change(run: Run, plan: Plan, settings: RunSettings) -> tuple[Plan, RunSettings]:
    """The whole deployment is to be started again. In the middle of a change of its plan that is
    over, and it is so as before; of hosts that were to come something may live."""
    known, goal = run.wanted_change(), run.change_goal()
    if known is None or goal is None or known.is_over or known.phase == "asked":
        return plan, settings
    run.save_wanted_change(_refused(known, "the whole deployment was started again"))
    kept = {host.host for host in goal.before.plan.hosts}
    new = (host.host for host in plan.hosts if host.host not in kept)
    replaced = tuple(dict.fromkeys((*settings.replaced, *new)))
    settings = replace(goal.before.settings, replaced=replaced, hosts=settings.hosts)
    run.save_settings(settings)
    return goal.before.plan, settings
