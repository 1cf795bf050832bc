"""`dsr1 recipes`: the built-in recipes, or one recipe as it will be used."""

from typing import Annotated

import typer

from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.options.common import AsJson, Venv
from dsr1.launcher.cli.options.recipe import Changes, ModelPath, Profiles
from dsr1.launcher.recipe.load import (
    RecipeChanges,
    built_in_recipes,
    describe_recipe,
    resolve_recipe,
)
from dsr1.launcher.recipe.render import render_resolved, resolved_values
from dsr1.launcher.site.load import load_site


def recipes(
    recipe: Annotated[
        str,
        typer.Argument(metavar="RECIPE", help="Show this recipe: a built-in name, or a file."),
    ] = "",
    profiles: Profiles = None,
    changes: Changes = None,
    model: ModelPath = "",
    venv: Venv = "",
    as_json: AsJson = False,
) -> None:
    """List the built-in recipes, or show one in full.

    One is shown as it will be used: every value, and where it came from.
    """
    if not recipe:
        _list(as_json)
        return
    asked, site = (tuple(profiles or ()), tuple(changes or ())), load_site().values()
    given = RecipeChanges(*asked, model, venv, keep_unset=True, site=site)
    resolved = resolve_recipe(recipe, given)
    if as_json:
        ANSWER.put("recipe", resolved_values(resolved))
    else:
        print(render_resolved(resolved))


def _list(as_json: bool) -> None:
    found = {name: describe_recipe(file) for name, file in built_in_recipes().items()}
    if as_json:
        rows = [{"name": name, "description": text} for name, text in found.items()]
        ANSWER.put("recipes", rows)
    else:
        print("\n".join(f"{name:<18} {description}" for name, description in found.items()))
