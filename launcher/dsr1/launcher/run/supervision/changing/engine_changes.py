"""What a change of the plan does to the engines of a deployment that serves: they are brought in,
taken out, or given other processes while they are down."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from dsr1.launcher.lifecycle.deployment import EngineUnit
from dsr1.launcher.lifecycle.events import AskedEvent
from dsr1.launcher.lifecycle.state import EngineState
from dsr1.launcher.plan.engine_exchange import (
    idle_hosts,
    with_engine,
    without_engine,
    without_idle_hosts,
)
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.plan.retry import join_namespace
from dsr1.launcher.run.agents import Agents
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.supervision.changing.versions import ChangeGoal, RunVersion
from dsr1.launcher.run.supervision.engine_events import make_engines
from dsr1.launcher.run.supervision.engine_health import EngineHealth
from dsr1.launcher.run.supervision.engine_orders import EngineOrders
from dsr1.launcher.run.supervision.places import Places


class WatchedEngines(Protocol):
    """Whoever watches them."""

    engines: dict[str, EngineUnit]
    places: Places
    orders: EngineOrders
    health: EngineHealth

    def tell(self, name: str, event: AskedEvent, /) -> None: ...

    def watch_plan(self) -> None:
        """As it is now."""


class EngineChanges:
    """See ChangedDeployment."""

    def __init__(self, run: Run, agents: Agents, watch: WatchedEngines) -> None:
        self._run, self._agents, self._watch = run, agents, watch
        self._places = watch.places

    @property
    def engines(self) -> Mapping[str, EngineUnit]:
        return self._watch.engines

    def tell(self, engine: str, event: AskedEvent) -> None:
        self._watch.tell(engine, event)

    def leave(self, host: str, at_once: bool) -> None:
        self._watch.orders.leave(host, at_once)

    def begin(self, goal: ChangeGoal) -> str:
        """What it was made from must be what runs."""
        if set(goal.before.plan.processes) != set(self._places.plan.processes):
            return "a host has lost its place since it was asked for; ask for it again"
        settings = replace(self._places.settings, hosts=goal.after.settings.hosts)
        self._places.use(self._places.plan, settings)
        return ""

    def bring_in(self, engine: str, source: Plan) -> None:
        """One that is down, or is new. A host that has no agent of the run counts as lost: it gets
        one before anything is started there."""
        known = self._watch.engines.get(engine)
        if known and known.state.phase != "down":
            return
        self._agents.transport.reach(self._places.settings.hosts)
        plan = with_engine(self._places.plan, source, engine)
        self._use(join_namespace(plan, self._places.plan))
        fresh = make_engines(plan, self._places.settings, time.time())[engine]
        state = self._arrived(fresh.state, known.state if known else EngineState(()))
        self._watch.engines[engine] = replace(fresh, state=state)
        self._watch.health.forget(engine)
        self._watch.watch_plan()

    def _arrived(self, fresh: EngineState, known: EngineState) -> EngineState:
        """What may still live of it, on hosts that can't be asked, keeps its owner."""
        silent = (host for host in fresh.hosts if not self._agents.hears(host))
        return EngineState(
            fresh.hosts,
            unproven=known.unproven,
            lost=tuple(dict.fromkeys((*known.lost, *silent))),
            number=known.number,
            since=fresh.since,
        )

    def take_out(self, engine: str) -> None:
        """Nothing of it is alive, but on hosts that can't be asked."""
        self._use(without_engine(self._places.plan, engine))
        self._watch.engines.pop(engine)
        self._watch.watch_plan()

    def settle(self, version: RunVersion) -> None:
        """Hosts that have nothing of it left are given up, once that is written down."""
        plan, before = self._places.plan, self._places.settings
        idle = idle_hosts(plan)
        settings = replace(
            version.settings,
            replaced=tuple(dict.fromkeys((*before.replaced, *idle))),
            hosts=tuple(dict.fromkeys((*version.settings.hosts, *before.hosts))),
        )
        self._run.replace_recipe(version.recipe)
        self._places.use(without_idle_hosts(plan), settings)
        for name, fresh in make_engines(plan, settings, time.time()).items():
            self._watch.engines[name] = replace(self._watch.engines[name], policy=fresh.policy)
        self._watch.health.renew(settings)
        self._watch.watch_plan()
        for host in idle:
            self._watch.orders.give_up(host)

    def _use(self, plan: Plan) -> None:
        if plan != self._places.plan:
            self._places.use(plan, self._places.settings)
