"""Which spares take the places of hosts that are gone: those that are fit now, whatever they were
at the launch."""

from collections.abc import Sequence
from dataclasses import replace

from dsr1.env.findings import folded
from dsr1.hosts.errors import CheckFailed
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.transport.base import Transport
from dsr1.launcher.plan.plan import Plan, make_plan
from dsr1.launcher.plan.retry import replace_hosts
from dsr1.launcher.preflight.preflight import judge_facts
from dsr1.launcher.preflight.requirements import make_facts_request
from dsr1.launcher.preflight.survey import gather_all
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.run.store import Run, RunSettings


def take_spares(
    recipe: Recipe, settings: RunSettings, transport: Transport, gone: Sequence[str]
) -> tuple[Host, ...]:
    """The hosts of the next attempt. CheckFailed: too few spares are left that pass the run's
    checks, and why not."""
    unfit: dict[str, str] = {}
    while True:
        hosts = replace_hosts(settings.machines, settings.spares, {*gone, *unfit})
        if hosts is None:
            left_out = "\n".join(unfit.values())
            raise CheckFailed(f"no spare is left for {', '.join(gone)}\n{left_out}".rstrip())
        fresh = [host for host in hosts if host not in settings.machines]
        found = find_unfit(recipe, hosts, fresh, transport, settings.checks)
        if not found:
            return hosts
        unfit |= found


def replan(
    run: Run, settings: RunSettings, transport: Transport, gone: tuple[str, ...]
) -> tuple[Plan, RunSettings]:
    """Of the next attempt, with spares in the places of what is gone."""
    hosts = take_spares(run.recipe(), settings, transport, gone)
    settings = replace(
        settings,
        machines=hosts,
        spares=tuple(spare for spare in settings.spares if spare not in hosts),
        replaced=tuple(dict.fromkeys((*settings.replaced, *gone))),
    )
    folder = str(run.folder)
    plan = make_plan(run.recipe(), hosts, run.name, folder, run.facts(), run.run_id())
    return plan, settings


def find_unfit(
    recipe: Recipe,
    hosts: Sequence[Host],
    fresh: Sequence[Host],
    transport: Transport,
    checks: Sequence[str],
) -> dict[str, str]:
    """By name, of those that are new, what fails there. Nothing is looked at where the launch
    looked at nothing."""
    if not checks:
        return {}
    told = gather_all(
        transport,
        make_facts_request(recipe, hosts, hosts[0].address),
        [host.name for host in fresh],
    )
    failed = [
        finding for finding in judge_facts(recipe, hosts, told, checks) if finding.verdict == "FAIL"
    ]
    return {
        name: "\n".join(folded(f for f in failed if f.host == name))
        for name in {f.host for f in failed}
    }
