"""`dsr1 recipes`: the built-in recipes, or one recipe as it will be used."""

import json
from typing import Annotated

import typer

from dsr1.launcher.cli.options import AsJson, ModelPath, Profiles, SetOption, Venv


def recipes(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="Show this one: a built-in name, or a file.")
    ] = "",
    profile: Profiles = None,
    changes: SetOption = None,
    model: ModelPath = "",
    venv: Venv = "",
    as_json: AsJson = False,
) -> None:
    """List the built-in recipes, or show one whole.

    One is shown as it will be used: every value, and where it came from.
    """
    if recipe:
        _show(recipe, profile or [], changes or [], model, venv, as_json)
    else:
        _list(as_json)


def _list(as_json: bool) -> None:
    from dsr1.launcher.recipe.load import built_in_recipes, describe_recipe

    found = {name: describe_recipe(file) for name, file in built_in_recipes().items()}
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(f"{name:<18} {description}" for name, description in found.items()))


def _show(
    name: str, profiles: list[str], settings: list[str], model: str, venv: str, as_json: bool
) -> None:
    from dsr1.launcher.recipe.load import RecipeChanges as Changed
    from dsr1.launcher.recipe.load import resolve_recipe
    from dsr1.launcher.recipe.render import render_resolved, render_resolved_json

    resolved = resolve_recipe(
        name, Changed(tuple(profiles), tuple(settings), model, venv, keep_unset=True)
    )
    print(render_resolved_json(resolved) if as_json else render_resolved(resolved))
