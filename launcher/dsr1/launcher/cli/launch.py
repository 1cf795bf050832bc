"""`dsr1 launch`: bring a deployment up on this machine, and return once it serves."""

import secrets
from typing import Annotated

import typer


def launch(
    recipe: Annotated[str, typer.Argument(help="A built-in recipe's name, or a file.")],
    name: Annotated[str, typer.Option(help="The run's name; default: the recipe's and four letters.")] = "",
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change a key: engines.main.max_num_seqs=64")
    ] = None,
    model: Annotated[str, typer.Option(help="The model's folder or hub id (model.path).")] = "",
    venv: Annotated[str, typer.Option(help="The environment that has vLLM (runtime.venv).")] = "",
) -> None:
    """Launch on this machine. Ctrl-C while it starts rolls back."""
    from dsr1.launcher.cli.view import make_view
    from dsr1.launcher.executor import launch_run
    from dsr1.launcher.recipe_file import load_recipe

    paths = [f"{key}={value}" for key, value in (("model.path", model), ("runtime.venv", venv)) if value]
    loaded = load_recipe(recipe, [*(changes or []), *paths])
    chosen = name or f"{loaded.name}-{secrets.token_hex(2)}"
    print(f"run {chosen}", flush=True)
    with make_view() as show:
        run = launch_run(loaded, chosen, show)
    print(f"ready after {run.state().ready_after} s: {run.plan().service.url}/v1 serves {run.plan().service.model}")
