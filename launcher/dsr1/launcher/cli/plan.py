"""`dsr1 plan`: what would run, exactly."""

from typing import Annotated

import typer


def plan(
    recipe: Annotated[str, typer.Argument(help="A built-in recipe's name, or a file.")] = "dsr1-dep",
    hosts: Annotated[str, typer.Option(help="Hosts, as name[=address],...; default: this machine.")] = "",
    name: Annotated[str, typer.Option(help="The run's name: with it, this is what launch --name would run.")] = "",
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change a key: engines.main.max_num_seqs=64")
    ] = None,
    model: Annotated[str, typer.Option(help="The model's folder or hub id (model.path).")] = "",
    venv: Annotated[str, typer.Option(help="The environment that has vLLM (runtime.venv).")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every process of every host: command, variables and where each value came from."""
    from dsr1.launcher.hosts_option import parse_hosts
    from dsr1.launcher.plan import make_plan
    from dsr1.launcher.plan_text import render_json, render_text
    from dsr1.launcher.recipe_file import load_recipe
    from dsr1.launcher.runs import new_run

    paths = [f"{key}={value}" for key, value in (("model.path", model), ("runtime.venv", venv)) if value]
    loaded = load_recipe(recipe, [*(changes or []), *paths])
    run = new_run(name or loaded.name)
    made = make_plan(loaded, parse_hosts(hosts, loaded), run.name, str(run.folder))
    print(render_json(made) if as_json else render_text(made))
