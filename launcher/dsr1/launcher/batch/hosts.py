"""Which of an allocation's nodes a run has."""

import sys
from collections.abc import Sequence

from dsr1.env.findings import folded
from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.inventory.names import counted
from dsr1.launcher.batch.script import needed_hosts
from dsr1.launcher.preflight.preflight import extras_of, failed_checks, refuse_unfit
from dsr1.launcher.preflight.survey import survey_hosts
from dsr1.launcher.preflight.survey_result import Survey
from dsr1.launcher.recipe.models import Recipe
from dsr1.slurm.allocation import Allocation
from dsr1.slurm.transport import SrunTransport


def choose_hosts(
    recipe: Recipe, allocation: Allocation, transport: SrunTransport, checks: Sequence[str]
) -> Survey:
    """The allocation's hosts, less those that fail a check while there are others to take their
    places."""
    left = tuple(Access(place.host, place.host) for place in allocation.places)
    wanted = _wanted(recipe, allocation)
    while True:
        survey = survey_hosts(recipe, left[:wanted], left[wanted:], transport, extras_of(checks))
        failed = failed_checks(survey, checks) if checks else []
        if not failed:
            return survey
        unfit = {finding.host for finding in failed}
        fit = tuple(host for host in left if host.name not in unfit)
        if not wanted <= len(fit) < len(left):
            refuse_unfit(survey, checks)
        print("left out:", *folded(failed), sep="\n", file=sys.stderr, flush=True)
        left = fit


def _wanted(recipe: Recipe, allocation: Allocation) -> int:
    """Of its hosts. InputError: it has fewer."""
    has = len(allocation.places)
    wanted = needed_hosts(recipe, has if allocation.is_lent else None)
    if has >= wanted:
        return wanted
    whose = f"job {allocation.job}" if allocation.is_lent else "the job"
    raise InputError(
        f"{whose} has {counted(has, 'node')}, the recipe needs {wanted}: --nodes={wanted}"
    )
