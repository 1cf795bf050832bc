"""`dsr1 import`: a Kubernetes manifest of Dynamo's to a recipe."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from dsr1.launcher.cli.options import AsJson


def import_(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="A DynamoGraphDeployment of the vLLM backend, as YAML; - is stdin."
        ),
    ],
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="FILE", help="Write the recipe to this file.")
    ] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Write over a file that is there.")
    ] = False,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="Which deployment, where the file has several.")
    ] = "",
    keep_unknown: Annotated[
        bool,
        typer.Option(
            "--keep-unknown-flags", help="Pass flags on that vLLM 0.31 and Dynamo 1.6.1 don't know."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Turn a Kubernetes manifest of Dynamo's into a recipe.

    Says what became of every key.
    """
    from dsr1.launcher.importing.files import read_manifest, write_recipe
    from dsr1.launcher.importing.importer import import_manifest
    from dsr1.launcher.importing.proof import prove
    from dsr1.launcher.importing.rendering import (
        one_line,
        render_imported_json,
        render_imported_recipe,
        render_notes,
    )

    imported = import_manifest(read_manifest(file), file, name, keep_unknown)
    recipe = render_imported_recipe(imported, Path(file).name)
    hosts = prove(imported, recipe, file)
    if output:
        write_recipe(Path(output), recipe, force)
    if as_json:
        print(render_imported_json(imported))
    elif not output:
        print(recipe, end="")
    print(
        f"{file} -> {output or 'a recipe'} for {hosts} host{'s' if hosts > 1 else ''}",
        file=sys.stderr,
    )
    for line in render_notes(imported.notes):
        print(one_line(line), file=sys.stderr)
