"""Options that several verbs share, so that they look and mean the same."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dsr1.launcher.recipe import Recipe

RecipeName = Annotated[str, typer.Argument(help="A built-in recipe's name, or a file.")]
RunName = Annotated[str | None, typer.Argument(metavar="[RUN]", help="The run; default: the newest.")]
Changes = Annotated[list[str] | None, typer.Option("--set", help="Change a key: engines.main.max_num_seqs=64")]
ModelPath = Annotated[str, typer.Option("--model", help="The model's folder or hub id (model.path).")]
Venv = Annotated[str, typer.Option("--venv", help="The environment that has vLLM (runtime.venv).")]
AcceptNewKeys = Annotated[bool, typer.Option("--accept-new-keys", help="Trust host keys never seen.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def chosen_recipe(name: str, changes: list[str] | None, model: str, venv: str) -> "Recipe":
    """The recipe with what the options change."""
    from dsr1.launcher.recipe_file import load_recipe

    paths = [f"{key}={value}" for key, value in (("model.path", model), ("runtime.venv", venv)) if value]
    return load_recipe(name, [*(changes or []), *paths])
