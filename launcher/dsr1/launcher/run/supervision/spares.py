"""Which spares take the places of hosts that are gone: those that are fit now, whatever they were
at the launch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dsr1.env.findings import folded
from dsr1.hosts.errors import HostError, LaunchFailed
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.facts.fact import Facts
from dsr1.hosts.transport.base import Transport
from dsr1.hosts.transport.parallel import answered
from dsr1.hosts.transport.results import FactsByHost
from dsr1.launcher.plan.plan import Plan, make_plan
from dsr1.launcher.plan.retry import replace_hosts
from dsr1.launcher.preflight.draft import make_draft
from dsr1.launcher.preflight.preflight import judge_facts
from dsr1.launcher.preflight.survey import ask_hosts
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.run.settings import RunSettings
from dsr1.launcher.run.store import Run


def take_spares(
    recipe: Recipe, settings: RunSettings, transport: Transport, gone: Sequence[str]
) -> tuple[tuple[Host, ...], dict[str, Facts]]:
    """The hosts of the next attempt, and the fresh facts of those that are new. LaunchFailed: too
    few spares are left that pass the run's checks, and why not. Without checks nobody is asked."""
    unfit: dict[str, str] = {}
    facts: FactsByHost = {}
    while True:
        hosts = replace_hosts(settings.machines, settings.spares, {*gone, *unfit})
        if hosts is None:
            reasons = "\n".join(unfit.values())
            raise LaunchFailed(f"no spare is left for {', '.join(gone)}\n{reasons}".rstrip())
        if settings.checks:
            facts = _ask_new(recipe, settings, hosts, transport)
        found = find_unfit(recipe, hosts, facts, settings.checks)
        if not found:
            return hosts, answered(facts)
        unfit |= found


def _ask_new(
    recipe: Recipe, settings: RunSettings, hosts: Sequence[Host], transport: Transport
) -> dict[str, Facts | HostError]:
    new = [host.name for host in hosts if host not in settings.machines]
    return ask_hosts(transport, make_draft(recipe, hosts), new, hosts[0].address)


def replan(
    run: Run, settings: RunSettings, transport: Transport, gone: tuple[str, ...]
) -> tuple[Plan, RunSettings]:
    """Of the next attempt, with spares in the places of what is gone; their fresh facts are kept.
    LaunchFailed: too few are fit."""
    hosts, fresh = take_spares(run.recipe(), settings, transport, gone)
    facts = update_facts(run.facts(), fresh)
    run.save_facts(facts)
    settings = replace(
        settings,
        machines=hosts,
        spares=tuple(spare for spare in settings.spares if spare not in hosts),
        replaced=tuple(dict.fromkeys((*settings.replaced, *gone))),
    )
    folder, pins = str(run.folder), settings.pins
    plan = make_plan(run.recipe(), hosts, run.name, folder, facts, run.run_id(), pins)
    return plan, settings


def find_unfit(
    recipe: Recipe, hosts: Sequence[Host], facts_by_host: FactsByHost, checks: Sequence[str]
) -> dict[str, str]:
    """By name, what fails there of those whose facts are given."""
    if not facts_by_host:
        return {}
    failed: dict[str, list[Finding]] = {}
    for finding in judge_facts(make_draft(recipe, hosts), facts_by_host, checks):
        if finding.verdict == "FAIL":
            failed.setdefault(finding.host, []).append(finding)
    return {host: "\n".join(folded(findings)) for host, findings in failed.items()}


def update_facts(before: Mapping[str, Facts], fresh: Mapping[str, Facts]) -> dict[str, Facts]:
    """By host. What was only asked at the launch (its runtime) stays."""
    return {**before, **{host: {**before.get(host, {}), **own} for host, own in fresh.items()}}
