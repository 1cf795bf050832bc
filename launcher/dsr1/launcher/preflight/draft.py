"""A recipe laid out on hosts of which nothing is known yet: what they are asked, and what their
answers are held against, is read off it. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.host import Host
from dsr1.launcher.layout.placement import fits, make_topology
from dsr1.launcher.layout.topology import GPUS_PER_NODE, Topology
from dsr1.launcher.plan.plan import Plan, make_plan
from dsr1.launcher.recipe.models import Recipe

_RUN, _FOLDER = "draft", "/draft"


@dataclass(frozen=True, slots=True)
class Draft:
    """The plan of a check or launch before there are facts.

    `hosts` are the real ones. `whole` are those of topology and plan: as many as the recipe wants,
    each with the GPUs that it should have. `problem` says why the real ones alone can't hold the
    recipe; empty: they can.
    """

    recipe: Recipe
    hosts: tuple[Host, ...]
    whole: tuple[Host, ...]
    topology: Topology
    plan: Plan
    problem: str = ""


def make_draft(recipe: Recipe, hosts: Sequence[Host]) -> Draft:
    """InputError for what can't be laid out on as many hosts as the recipe wants."""
    whole = fill_up(recipe, hosts)
    return Draft(
        recipe=recipe,
        hosts=tuple(hosts),
        whole=whole,
        topology=make_topology(recipe, whole),
        plan=make_plan(recipe, whole, _RUN, _FOLDER),
        problem=_problem(recipe, hosts),
    )


def redraft(draft: Draft, hosts: Sequence[Host]) -> Draft:
    """For the same hosts when more is known of them: the plan is made anew only where it
    changes."""
    if fill_up(draft.recipe, hosts) != draft.whole:
        return make_draft(draft.recipe, hosts)
    return replace(draft, hosts=tuple(hosts), problem=_problem(draft.recipe, hosts))


def fill_up(recipe: Recipe, hosts: Sequence[Host]) -> tuple[Host, ...]:
    """As many hosts as the recipe needs, each with the GPUs that it should have: a check of some
    must do for some."""
    whole = tuple(replace(host, gpus=max(host.gpus, GPUS_PER_NODE)) for host in hosts)
    most = sum(engine.least_nodes for engine in recipe.engines.values())
    while len(whole) < most and not fits(recipe, whole):
        name = f"(host {len(whole) + 1})"
        whole = (*whole, Host(name, name))
    return whole


def _problem(recipe: Recipe, hosts: Sequence[Host]) -> str:
    """Why these hosts can't hold the recipe."""
    try:
        make_topology(recipe, hosts)
    except InputError as error:
        return str(error)
    return ""
