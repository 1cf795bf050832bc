"""Facts from every host of a recipe at once, and what the checks say of them."""

from collections.abc import Sequence

from dsr1.env.checks.all import IDS, TAKES_TIME, run_checks, worst_first
from dsr1.env.findings import folded, unreached
from dsr1.hosts.errors import CheckFailed, HostError, InputError
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.transport.parallel import raise_all
from dsr1.hosts.transport.results import FactsByHost
from dsr1.launcher.plan.runtime_knowledge import RUNTIME
from dsr1.launcher.preflight import connectivity, fabric_report, runtime_checks
from dsr1.launcher.preflight.requirements import make_requirements
from dsr1.launcher.preflight.survey import Survey
from dsr1.launcher.recipe.models import Recipe

CHECKS = (*IDS, *runtime_checks.IDS, connectivity.CHECK, fabric_report.CHECK)


def extras_of(ids: Sequence[str]) -> tuple[str, ...]:
    """What the checks need beside facts: the runtime's word (at first an import of vLLM),
    connections tried."""
    runtime = (RUNTIME,) if any(check in runtime_checks.IDS for check in ids) else ()
    return (*runtime, *(check for check in (connectivity.CHECK, *TAKES_TIME) if check in ids))


def judge_site(recipe: Recipe, seen: Survey, ids: Sequence[str]) -> list[Finding]:
    """What the hosts told, each and together, and the plan on them. Worst first."""
    hosts, told = seen.hosts, seen.told_of_hosts
    tried = connectivity.judge_connectivity(hosts, told) if connectivity.CHECK in ids else ()
    fits = runtime_checks.judge_runtimes(recipe, hosts, told, ids)
    return worst_first([*judge_facts(recipe, hosts, told, ids), *fits, *tried])


def judge_facts(
    recipe: Recipe, hosts: Sequence[Host], told: FactsByHost, ids: Sequence[str]
) -> list[Finding]:
    """A host that can't be reached is a finding; the others are judged all the same."""
    site = {host: facts for host, facts in told.items() if not isinstance(facts, HostError)}
    lost = [unreached(host, error) for host, error in told.items() if isinstance(error, HostError)]
    return [*lost, *run_checks(site, make_requirements(recipe, hosts), ids)]


def choose_checks(only: Sequence[str], skip: Sequence[str]) -> tuple[str, ...]:
    """Ids of checks; `ib` stands for all of `ib.*`. InputError for a word that is none.

    Those that take time must be asked for.
    """
    for word in (*only, *skip):
        if not any(_stands_for(word, name) for name in CHECKS):
            raise InputError(f"{word!r} is no check; there are: {', '.join(sorted(CHECKS))}")
    wanted = [name for name in CHECKS if any(_stands_for(word, name) for word in only or CHECKS)]
    wanted = [name for name in wanted if only or name not in TAKES_TIME]
    return tuple(name for name in wanted if not any(_stands_for(word, name) for word in skip))


def _stands_for(word: str, name: str) -> bool:
    return name == word or name.startswith(f"{word}.")


def refuse_unfit(recipe: Recipe, seen: Survey, ids: Sequence[str]) -> None:
    """CheckFailed naming all that fails, on all hosts; HostError when one told no facts."""
    raise_all(seen.told_of_hosts)
    failed = [finding for finding in judge_site(recipe, seen, ids) if finding.verdict == "FAIL"]
    if failed:
        way = (
            "`dsr1 check` shows all; --skip-check CHECK goes on without one, --no-check without any"
        )
        raise CheckFailed("\n".join((*folded(failed), way)))
