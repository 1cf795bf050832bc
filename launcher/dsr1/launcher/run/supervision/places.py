"""Hosts for those that are lost, while the rest of the deployment serves: the host itself once
nothing of the run lives on it, or a spare."""

import contextlib
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

from dsr1.hosts.errors import Dsr1Error, HostError, LaunchFailed
from dsr1.hosts.protocol.commands import Prepare, Replan
from dsr1.hosts.protocol.process import HostPlan
from dsr1.hosts.transport.base import Transport
from dsr1.hosts.transport.ssh import ShellTransport
from dsr1.launcher.caches.store import jit_store
from dsr1.launcher.caches.transfer import copy_caches
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.plan.retry import changed_groups, join_namespace
from dsr1.launcher.run.agents import Agents
from dsr1.launcher.run.settings import RunSettings
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.supervision.agent_plans import agent_plans, origin_since
from dsr1.launcher.run.supervision.messages import HostNotPlaced, HostPlaced

KEEP_S, KEEP_MOST_S = 2.0, 30.0


def upload_again(run: Run, settings: RunSettings, transport: Transport) -> None:
    """For a restart: a cleaner may have taken what the launch brought to the hosts."""
    if isinstance(transport, ShellTransport):
        from dsr1.launcher.run.assets import upload_to  # as below

        upload_to(run.recipe(), settings.machines, settings.spares, run.facts(), transport)


class Places:
    """The plan and the settings as they are, which a host in another's place changes. They are
    written down before anything is started there, so that who ends the run knows of it."""

    def __init__(
        self,
        run: Run,
        plan: Plan,
        settings: RunSettings,
        agents: Agents,
        beside: Callable[[], AbstractContextManager[Transport]],
    ) -> None:
        self.plan, self.settings = plan, settings
        self._run, self._agents, self._beside = run, agents, beside
        self._looking, self._starting = threading.Lock(), threading.Lock()
        self._closed, self._keeping = False, threading.Timer(KEEP_S, self._keep)

    def close(self) -> None:
        """Nothing more is started; what is being started is waited for."""
        self._closed = True
        self._keeping.cancel()
        with self._starting:
            pass
        if self._keeping.is_alive():
            self._keeping.join(KEEP_MOST_S)

    def find(self, lost: str, goes_down: bool) -> HostPlaced | HostNotPlaced:
        """One search at a time: two would take the same spare."""
        try:
            with self._looking, self._beside() as transport:
                return self._find(lost, goes_down, transport)
        except (Dsr1Error, OSError) as error:
            return HostNotPlaced(lost, str(error))

    def _find(self, lost: str, goes_down: bool, transport: Transport) -> HostPlaced:
        """A host that goes down, or was drained, is left for a spare, if one is fit."""
        clean = self._is_clean(lost, transport)
        if not clean or (goes_down and self.settings.spares):
            try:
                return self._move(lost, clean, transport)
            except LaunchFailed:
                if not clean:
                    raise
        return self._start(lost, lost, None, transport)

    def use(self, plan: Plan, settings: RunSettings) -> None:
        """From now on, for a change of somebody's."""
        with self._starting:
            self._write_down(plan, settings)

    def forget(self, host: str) -> None:
        """Nothing of the run is there any more."""
        replaced = tuple(one for one in self.settings.replaced if one != host)
        self.use(self.plan, replace(self.settings, replaced=replaced))

    def leave(
        self, unreached: tuple[str, ...], going: tuple[str, ...], reason: str
    ) -> tuple[str, ...]:
        """Fit spares take the places of hosts that are gone, or go down; gives notes for the user.
        LaunchFailed where there are too few; a host that only seemed to go down is better than
        none."""
        gone = tuple(dict.fromkeys((*unreached, *going)))
        if not gone:
            return ()
        # It judges hosts: what an idle supervisor needn't hold.
        from dsr1.launcher.run.supervision.spares import replan

        try:
            with self._beside() as transport:
                self.plan, self.settings = replan(self._run, self.settings, transport, gone)
                notes = transport.give_up(gone)
        except LaunchFailed as few:
            if not unreached:
                return ()
            raise LaunchFailed(f"{reason}\nnot started again: {few}") from few
        self._run.save_settings(self.settings)
        return notes

    def _is_clean(self, host: str, transport: Transport) -> bool:
        """False: it can't be reached. LaunchFailed: something can't be ended there."""
        self._agents.let_go(host)
        try:
            left = transport.stop(host, "its agent was lost").left
        except HostError:
            return False
        if left:
            raise LaunchFailed(f"{host}: something may still run: {'; '.join(left)}")
        return True

    def _move(self, lost: str, clean: bool, transport: Transport) -> HostPlaced:
        """Of a host that was proven clean nothing is left to be ended."""
        from dsr1.launcher.run.supervision.spares import replan  # as in `leave`

        if self._run.is_changing_plan():
            raise LaunchFailed("no spare takes a place while the run is scaled or updated")
        before = self.plan
        plan, settings = replan(self._run, self.settings, transport, (lost,))
        if clean:
            others = tuple(one for one in settings.replaced if one != lost)
            settings = replace(settings, replaced=others)
        plan = join_namespace(plan, self.plan)
        own = {process.group for process in self.plan.processes if process.host == lost}
        if elsewhere := changed_groups(self.plan, plan) - own:
            names = ", ".join(sorted(elsewhere))
            raise LaunchFailed(f"a spare for {lost} would change {names}, which live elsewhere")
        (host,) = {one.host for one in plan.hosts} - {one.host for one in self.plan.hosts}
        return self._start(lost, host, (before, plan, settings), transport)

    def _start(
        self,
        lost: str,
        host: str,
        move: tuple[Plan, Plan, RunSettings] | None,
        transport: Transport,
    ) -> HostPlaced:
        """`move`: the plan that it was made from, and what it makes of it; None: the host takes its
        own place again."""
        self._bring(host, move[1] if move else self.plan, transport)
        with self._starting:
            if self._closed:
                raise LaunchFailed("the run is being ended")
            if move and move[0] is not self.plan:
                raise LaunchFailed("the plan was changed meanwhile")
            if move:
                self._write_down(*move[1:])
            plans = agent_plans(self.plan, self.settings, origin_since(self._run.claimed_at()))
            own = next((one for one in plans if one.host == host), None)
            if own is None:
                raise LaunchFailed(f"{host} is none of the run's hosts any more")
            self._agents.start_anew(own, self._run.secrets())
        self._agents.send(host, Prepare())
        notes = () if host == lost else (f"{host} has taken the place of {lost}",)
        return HostPlaced(lost, host, (*notes, *(transport.give_up((lost,)) if notes else ())))

    def _bring(self, host: str, plan: Plan, transport: Transport) -> None:
        """What a launch brings to its hosts, too."""
        if isinstance(transport, ShellTransport):
            from dsr1.launcher.run.assets import upload_stand_in  # as above

            upload_stand_in(self._run.recipe(), (host,), transport)
        caches = tuple(one for one in plan.caches if one.host == host)
        copy_caches(transport, caches, jit_store())

    def _write_down(self, plan: Plan, settings: RunSettings) -> None:
        before = {one.host: one for one in self.plan.hosts}
        self.plan, self.settings = plan, settings
        self._run.save_settings(settings)
        self._run.save_plan(plan)
        self._keep_soon()
        for host in plan.hosts:
            self._tell_change(before.get(host.host), host)

    def _keep_soon(self) -> None:
        """Its hosts keep what the run's folder could be rebuilt from: as it is a moment after the
        last of several changes."""
        self._keeping.cancel()
        self._keeping = threading.Timer(KEEP_S, self._keep)
        self._keeping.daemon = True
        self._keeping.start()

    def _keep(self) -> None:
        with contextlib.suppress(Dsr1Error, OSError):
            first = self.plan.hosts[0].host
            self._agents.transport.keep_files(first, self._run.kept_files())

    def _tell_change(self, before: HostPlan | None, after: HostPlan) -> None:
        """The other hosts of the engine have a new leader, perhaps."""
        if before and before.processes != after.processes:
            self._agents.send(after.host, Replan(after.processes))
