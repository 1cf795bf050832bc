"""`dsr1 plan`: what would run, exactly."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from dsr1.launcher.cli.options import (
    AcceptNewKeys,
    AsJson,
    HostsOption,
    ModelPath,
    NoFacts,
    Profiles,
    RecipeName,
    Rehearse,
    SetOption,
    Venv,
    chosen_hosts,
    chosen_recipe,
)

if TYPE_CHECKING:
    from dsr1.launcher.preflight.survey import Survey
    from dsr1.launcher.recipe.models import Recipe


def plan(
    recipe: RecipeName = "dsr1-dep",
    hosts: HostsOption = None,
    name: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="The run's name: with it, this is what launch --name would run."
        ),
    ] = "",
    profile: Profiles = None,
    changes: SetOption = None,
    model: ModelPath = "",
    venv: Venv = "",
    rehearsed: Rehearse = False,
    accept_new_keys: AcceptNewKeys = False,
    no_facts: NoFacts = False,
    as_json: AsJson = False,
) -> None:
    """Show what would run on every host, exactly.

    Of each process: its command, its variables, and where every value came from. Hosts that answer
    are asked for their facts; those that don't are planned by their names.
    """
    from dsr1.launcher.commands.rehearsal import rehearse
    from dsr1.launcher.plan.plan import make_plan
    from dsr1.launcher.plan.render_text import render_json, render_text
    from dsr1.launcher.run.store import new_run

    loaded = chosen_recipe(recipe, changes, model, venv, profile)
    loaded = rehearse(loaded) if rehearsed else loaded
    run = new_run(name or loaded.name)
    seen = survey_or_preview(loaded, hosts, accept_new_keys, no_facts)
    made = make_plan(loaded, seen.hosts, run.name, str(run.folder), seen.facts)
    print(render_json(made) if as_json else render_text(made))


def survey_or_preview(
    recipe: "Recipe", hosts: str | None, accept_new_keys: bool, no_facts: bool
) -> "Survey":
    """What a plan is made from, and on stderr why a host has told nothing."""
    from dsr1.hosts.errors import HostError
    from dsr1.launcher.preflight.survey import survey_any, unasked_survey

    seen = (unasked_survey if no_facts else survey_any)(
        recipe, chosen_hosts(hosts, accept_new_keys)
    )
    for why in dict.fromkeys(
        str(error) for error in seen.facts_by_host.values() if isinstance(error, HostError)
    ):
        print(f"dsr1: no facts: {why}", file=sys.stderr)
    return seen
