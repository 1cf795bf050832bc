"""`dsr1 plan`: what would run, exactly."""

from typing import Annotated

import typer

from dsr1.launcher.cli.options import AsJson, Changes, ModelPath, RecipeName, Venv, chosen_recipe


def plan(
    recipe: RecipeName = "dsr1-dep",
    hosts: Annotated[
        str | None, typer.Option(help="Hosts: a,b or node[01-16] or @file; default: this machine.")
    ] = None,
    name: Annotated[str, typer.Option(help="The run's name: with it, this is what launch --name would run.")] = "",
    changes: Changes = None,
    model: ModelPath = "",
    venv: Venv = "",
    as_json: AsJson = False,
) -> None:
    """Show every process of every host: command, variables and where each value came from."""
    from dsr1.launcher.hosts_option import preview_hosts
    from dsr1.launcher.plan import make_plan
    from dsr1.launcher.plan_text import render_json, render_text
    from dsr1.launcher.runs import new_run

    loaded = chosen_recipe(recipe, changes, model, venv)
    run = new_run(name or loaded.name)
    made = make_plan(loaded, preview_hosts(hosts, loaded), run.name, str(run.folder))
    print(render_json(made) if as_json else render_text(made))
