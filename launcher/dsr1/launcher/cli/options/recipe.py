"""Options of the verbs that take a recipe."""

import json
from collections.abc import Sequence
from typing import Annotated

import typer

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.cli.options.common import Venv
from dsr1.launcher.cli.options.completion import complete_keys, complete_recipes
from dsr1.launcher.recipe.load import RecipeChanges, Resolved, resolve_recipe
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.site.load import load_site

RecipeName = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        help="A built-in recipe's name, or a recipe file.",
        autocompletion=complete_recipes,
    ),
]
Profiles = Annotated[
    list[str] | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="A profile of the recipe, or a YAML file of changes; may be repeated.",
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set a key of the recipe: engines.main.max_num_seqs=64; may be repeated.",
        autocompletion=complete_keys,
    ),
]
ModelPath = Annotated[
    str,
    typer.Option("--model", metavar="PATH", help="The model's folder, or its hub id (model.path)."),
]
Rehearse = Annotated[
    bool,
    typer.Option(
        "--rehearse",
        help="Run Dynamo's engine simulator instead of vLLM: needs no GPU and no weights.",
    ),
]
Partition = Annotated[
    str, typer.Option("--partition", metavar="NAME", help="The Slurm partition (slurm.partition).")
]
Account = Annotated[
    str, typer.Option("--account", metavar="NAME", help="The Slurm account (slurm.account).")
]
TimeLimit = Annotated[
    str, typer.Option("--time", metavar="TIME", help="The job's time limit: 4:00:00 (slurm.time).")
]
Nodes = Annotated[
    int | None,
    typer.Option(
        "--nodes",
        metavar="NUMBER",
        help="The job's nodes, where the recipe's engines take them all (slurm.nodes).",
    ),
]


@dataclass(frozen=True, slots=True)
class RecipeOptions:
    recipe: RecipeName = "dsr1-dep"
    profiles: Profiles = None
    changes: Changes = None
    model: ModelPath = ""
    venv: Venv = ""

    def load(self, more: Sequence[str] = (), elsewhere: bool = False) -> Recipe:
        """As `resolve`, without where its values came from."""
        return self.resolve(more, elsewhere).recipe

    def resolve(self, more: Sequence[str] = (), elsewhere: bool = False) -> Resolved:
        """The recipe with these changes and `more`, which are written as for --set. `elsewhere`: it
        is for other hosts than this machine, and paths that were expanded here are told."""
        changes = (*(self.changes or ()), *more)
        profiles, site = tuple(self.profiles or ()), load_site().values()
        asked = RecipeChanges(profiles, changes, self.model, self.venv, site=site)
        resolved = resolve_recipe(self.recipe, asked)
        if elsewhere and resolved.local:
            from dsr1.launcher.cli.views.notes import note_local_paths

            note_local_paths(resolved.local)
        return resolved


@dataclass(frozen=True, slots=True)
class SlurmOptions:
    partition: Partition = ""
    account: Account = ""
    time: TimeLimit = ""
    nodes: Nodes = None

    def changes(self) -> list[str]:
        """As for --set; quoted, since YAML reads a bare 4:00:00 as a number."""
        texts = {"partition": self.partition, "account": self.account, "time": self.time}
        changes = [f"slurm.{key}={json.dumps(text)}" for key, text in texts.items() if text]
        return changes if self.nodes is None else [*changes, f"slurm.nodes={self.nodes}"]
