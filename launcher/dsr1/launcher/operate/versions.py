"""What a deployment would be with another recipe or more hosts, without touching what runs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pydantic import ValidationError

from dsr1.hosts.errors import CheckFailed, InputError
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.transport.connect import over_ssh
from dsr1.hosts.transport.parallel import answered
from dsr1.launcher.layout.pinned import Pins
from dsr1.launcher.layout.pins import grow, make_pins
from dsr1.launcher.lifecycle.changes import ChangeStep
from dsr1.launcher.operate.backends import backend_name
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.plan.retry import changed_groups, join_namespace
from dsr1.launcher.preflight.draft import make_draft
from dsr1.launcher.preflight.survey import ask_hosts, meet_hosts
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.run.settings import RunSettings
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.supervision.changing.versions import ChangeGoal, RunVersion
from dsr1.launcher.run.supervision.spares import find_unfit, update_facts


class NextVersion:
    """Of a run that serves: its engines' places, and the steps that lead there."""

    def __init__(self, run: Run, recipe: Recipe) -> None:
        self._run, running = run, run.recipe()
        self.before = RunVersion(run.recipe_text(), run.settings(), run.plan())
        self.settings, self._facts = self.before.settings, run.facts()
        self.pins: Pins = self.settings.pins or make_pins(running, self.settings.machines)
        self.running, self.recipe = (with_own_nodes(one, self.pins) for one in (running, recipe))
        self.steps: list[ChangeStep] = []
        self._names = {one.name for one in self.pins.engines}

    def take_hosts(self, accesses: Sequence[Access]) -> None:
        """They are the run's, too. InputError, HostError, CheckFailed: one can't be."""
        if not accesses:
            return
        _refuse_hosts(self._run, self.settings, accesses)
        spares = {spare.name: spare for spare in self.settings.spares}
        new = [one for one in accesses if one.name not in spares]
        found = dict(zip((one.name for one in new), self._survey(new), strict=True))
        taken = tuple((spares | found)[one.name] for one in accesses)
        self.settings = replace(
            self.settings,
            hosts=tuple(dict.fromkeys((*self.settings.hosts, *new))),
            machines=(*self.settings.machines, *taken),
            spares=tuple(one for one in self.settings.spares if one not in taken),
        )

    def _survey(self, accesses: Sequence[Access]) -> tuple[Host, ...]:
        """As at a launch: reached, asked and judged."""
        if not accesses:
            return ()
        settings, python = self.settings, self.recipe.runtime.interpreter
        with over_ssh(accesses, python) as transport:
            leader = settings.machines[0].address
            hosts = meet_hosts(accesses, transport, leader)
            names = [host.name for host in hosts]
            facts = ask_hosts(transport, make_draft(self.recipe, hosts), names, leader)
        if unfit := find_unfit(self.recipe, hosts, facts, settings.checks):
            raise CheckFailed("\n".join(unfit.values()))
        self._facts = update_facts(self._facts, answered(facts))
        return hosts

    def place_free(self, engine: str, name: str) -> bool:
        """On hosts that have nothing of it. False: there are none."""
        try:
            self._grow(self.settings.machines, engine, name, free=True)
        except InputError:
            return False
        return True

    def place(self, engine: str, name: str) -> None:
        """InputError: there is no room for it. This machine stands in for as many hosts as are
        wanted."""
        try:
            self._grow(self.settings.machines, engine, name)
        except InputError:
            if backend_name(self._run) != "local":
                raise
            count = len(self.settings.machines)
            more = replace(self.settings.machines[0], name=f"local{count}")
            self._grow((*self.settings.machines, more), engine, name)

    def _grow(self, hosts: tuple[Host, ...], engine: str, name: str, free: bool = False) -> None:
        self.pins = grow(self.recipe, hosts, self.pins, engine, name, free)
        self.settings = replace(self.settings, machines=hosts)

    def free_name(self, engine: str) -> str:
        """For one more replica."""
        number = 1
        while (name := f"{engine}-r{number}") in self._names or name in self.recipe.engines:
            number += 1
        self._names.add(name)
        return name

    def made(self) -> RunVersion:
        """InputError: it can't be laid out."""
        settings, run = replace(self.settings, pins=self.pins), self._run
        folder, machines = str(run.folder), settings.machines
        plan = make_plan(
            self.recipe, machines, run.name, folder, self._facts, run.run_id(), self.pins
        )
        text = json.dumps(self.recipe.model_dump())
        return RunVersion(text, settings, join_namespace(plan, self.before.plan))

    def goal(self) -> ChangeGoal:
        """What it takes is written down first: of hosts that come the facts."""
        after = self.made()
        meant = {step.engine for step in self.steps}
        if others := changed_groups(self.before.plan, after.plan) - meant:
            raise InputError(
                f"{self._run.name}: {', '.join(sorted(others))} would have to be started anew,"
                " too; stop the run, and launch it anew"
            )
        self._run.save_facts(self._facts)
        return ChangeGoal(self.before, after)


def _refuse_hosts(run: Run, settings: RunSettings, accesses: Sequence[Access]) -> None:
    where = backend_name(run)
    if where == "slurm":
        raise InputError(
            f"--hosts: {run.name} runs in a Slurm job, and has the hosts of that alone"
        )
    if where == "local":
        raise InputError(f"--hosts: {run.name} runs on this machine alone; launch it with --hosts")
    known = {host.name for host in settings.machines}
    if doubles := [one.name for one in accesses if one.name in known]:
        raise InputError(f"--hosts: {', '.join(doubles)}: is a host of {run.name} already")


def with_own_nodes(recipe: Recipe, pins: Pins) -> Recipe:
    """An engine that took all hosts has those that it has: what comes is for others, too."""
    engines = dict(recipe.engines)
    for name, engine in recipe.engines.items():
        if engine.nodes == "all" and (own := pins.of(name)):
            engines[name] = engine.model_copy(update={"nodes": len(own[0].nodes)})
    return recipe.model_copy(update={"engines": engines})


def with_values(run: str, recipe: Recipe, replicas: Mapping[str, int]) -> Recipe:
    """The recipe with other numbers of replicas. InputError: it can't be so."""
    plain = recipe.model_dump()
    for engine, count in replicas.items():
        plain["engines"][engine]["replicas"] = count
    try:
        return Recipe.model_validate(plain)
    except ValidationError as error:
        words = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(f"{run}: {words}") from None


def make_steps(what: str, engines: Iterable[str]) -> list[ChangeStep]:
    return [ChangeStep(what, engine) for engine in engines]
