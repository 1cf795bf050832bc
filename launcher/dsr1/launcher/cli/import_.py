"""`dsr1 import`: what people own to a recipe: a manifest of Dynamo's, a script, an srt-slurm
recipe."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from dsr1.hosts.inventory.names import counted
from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.options.common import AsJson
from dsr1.launcher.importing.files import read_manifest, write_recipe
from dsr1.launcher.importing.foreign import import_file
from dsr1.launcher.importing.importer import Imported
from dsr1.launcher.importing.proof import prove
from dsr1.launcher.importing.rendering import (
    imported_values,
    one_line,
    render_imported_recipe,
    render_notes,
)


def import_(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A DynamoGraphDeployment, LeaderWorkerSets, a recipe of srt-slurm, or a script; -"
            " reads stdin.",
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Write the recipe to this file.")
    ] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite the file if it exists.")
    ] = False,
    name: Annotated[
        str,
        typer.Option("--name", metavar="NAME", help="The deployment, if the file has several."),
    ] = "",
    keep_unknown: Annotated[
        bool,
        typer.Option(
            "--keep-unknown-flags",
            help="Keep flags that vLLM 0.31 and Dynamo 1.6.1 don't know.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Turn a manifest of Dynamo's, a script or an srt-slurm recipe into a recipe.

    Reports on stderr what became of every key.
    """
    imported = import_file(read_manifest(file), file, name, keep_unknown)
    recipe = render_imported_recipe(imported, Path(file).name)
    hosts = prove(imported, recipe, file)
    if output:
        write_recipe(Path(output), recipe, force)
    if as_json:
        ANSWER.put("import", imported_values(imported))
    elif not output:
        print(recipe, end="")
    _report(imported, f"{file} -> {output or 'a recipe'}", hosts)


def _report(imported: Imported, what: str, hosts: int) -> None:
    print(f"{what} for {counted(hosts, 'host')}", file=sys.stderr)
    for line in render_notes(imported.notes):
        print(one_line(line), file=sys.stderr)
