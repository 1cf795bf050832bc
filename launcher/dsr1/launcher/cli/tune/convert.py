"""`dsr1 convert`: a recipe with its engines in another mapping."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.options.common import AsJson, Venv
from dsr1.launcher.cli.options.recipe import Changes, ModelPath, Profiles, RecipeName
from dsr1.launcher.importing.files import write_recipe
from dsr1.launcher.recipe.load import RecipeChanges, resolve_recipe
from dsr1.launcher.site.load import load_site
from dsr1.launcher.tuning.mapping.label import parse_mapping
from dsr1.launcher.tuning.mapping.recipe import Conversion, convert_recipe
from dsr1.launcher.tuning.overlay import extended_name, render_overlay, written_difference


def convert(
    recipe: RecipeName,
    to: Annotated[
        str,
        typer.Option("--to", metavar="MAPPING", help="tp8, tep8, dp8, dep16, dp2xtp4 or dep4xtp2."),
    ],
    role: Annotated[
        str,
        typer.Option(
            "--role", metavar="ROLE", help="Only engines of this role: prefill or decode."
        ),
    ] = "",
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Write the recipe to this file.")
    ] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite the file if it exists.")
    ] = False,
    profiles: Profiles = None,
    changes: Changes = None,
    model: ModelPath = "",
    venv: Venv = "",
    as_json: AsJson = False,
) -> None:
    """Give a recipe with its engines in another mapping: tp8, tep8, dep16 or dp2xtp4.

    It extends the given one; every number that hangs on the mapping is adjusted, with why.
    """
    asked, site = (tuple(profiles or ()), tuple(changes or ())), load_site().values()
    plain = resolve_recipe(recipe, RecipeChanges(keep_unset=True, site=site))
    given = RecipeChanges(*asked, model, venv, keep_unset=True, site=site)
    done = convert_recipe(resolve_recipe(recipe, given), parse_mapping(to), role)
    changed = written_difference(plain, done.resolved)
    extends = extended_name(recipe, Path(output) if output else None)
    text = render_overlay(extends, changed, _whys(done), _head(done, recipe))
    if output:
        write_recipe(Path(output), text, force)
    if as_json:
        answer = {"recipe": changed, "extends": extends, "remarks": list(done.remarks)}
        ANSWER.put("convert", {**answer, "changes": [asdict(one) for one in done.changes]})
    elif not output:
        print(text, end="")
    for remark in done.remarks:
        print(remark, file=sys.stderr)


def _head(done: Conversion, recipe: str) -> list[str]:
    return [f"By dsr1 convert from {recipe}; sizes from {done.source}.", *done.remarks]


def _whys(done: Conversion) -> dict[str, str]:
    """By key. What the user changed says where it is from."""
    locations = done.resolved.tree.locations
    own = {".".join(keys): location for keys, location in locations.items()}
    whys = {one.key: f"was {_shown(one.was)}: {one.why}" for one in done.changes}
    return {**own, **whys}


def _shown(value: object) -> str:
    return "not given" if value is None else str(value).lower() if value is True else str(value)
