"""`dsr1 plan`: what would run, exactly."""

import sys
from typing import Annotated

import typer

from dsr1.hosts.errors import HostError
from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.options.common import AsJson, HostOptions, NoFacts
from dsr1.launcher.cli.options.recipe import RecipeOptions, Rehearse
from dsr1.launcher.commands.rehearsal import rehearse
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.plan.render_text import render_summary, render_text
from dsr1.launcher.preflight.survey_result import Survey, unasked_survey
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.run.store import new_run


def plan(
    recipe: RecipeOptions,
    hosts: HostOptions,
    name: Annotated[
        str,
        typer.Option("--name", metavar="NAME", help="Plan what launch --name NAME would run."),
    ] = "",
    rehearsed: Rehearse = False,
    no_facts: NoFacts = False,
    summary: Annotated[
        bool, typer.Option("--summary", help="On one screen: which hosts run what.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show exactly what would run on every host.

    For each process: its command, its variables, and where every value came from. Hosts that answer
    are asked for their facts; the others are planned by name alone.
    """
    loaded = recipe.load(elsewhere=hosts.named)
    loaded = rehearse(loaded) if rehearsed else loaded
    run = new_run(name or loaded.name)
    survey = survey_or_preview(loaded, hosts, no_facts)
    made = make_plan(loaded, survey.hosts, run.name, str(run.folder), survey.facts)
    if as_json:
        ANSWER.put("plan", made)
    else:
        print(render_summary(made) if summary else render_text(made))


def survey_or_preview(recipe: Recipe, hosts: HostOptions, no_facts: bool) -> Survey:
    """What a plan is made from; on stderr, why a host's facts are missing."""
    if no_facts:
        return unasked_survey(recipe, hosts.accesses())
    from dsr1.launcher.preflight.survey import survey_any  # transports: a preview needs none

    survey = survey_any(recipe, hosts.accesses())
    errors = (str(one) for one in survey.facts_by_host.values() if isinstance(one, HostError))
    for error in dict.fromkeys(errors):
        print(f"dsr1: no facts: {error}", file=sys.stderr)
    return survey
