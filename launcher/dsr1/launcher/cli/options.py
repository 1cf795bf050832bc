"""Options that several verbs share, so that they look and mean the same."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dsr1.hosts.inventory.access import Access
    from dsr1.launcher.recipe.models import Recipe

RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A built-in recipe's name, or a file.")
]
RunName = Annotated[str | None, typer.Argument(metavar="RUN", help="The run; default: the newest.")]
Profiles = Annotated[
    list[str] | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="A profile of the recipe, or a file of keys; may be repeated.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a key: engines.main.max_num_seqs=64; may be repeated.",
    ),
]
ModelPath = Annotated[
    str, typer.Option("--model", metavar="PATH", help="The model's folder or hub id (model.path).")
]
Venv = Annotated[
    str,
    typer.Option("--venv", metavar="FOLDER", help="The environment that has vLLM (runtime.venv)."),
]
Rehearse = Annotated[
    bool,
    typer.Option(
        "--rehearse", help="Dynamo's engine simulator in the place of vLLM: no GPU, no weights."
    ),
]
RequiredHosts = Annotated[
    str, typer.Option("--hosts", metavar="HOSTS", help="a,b or node[01-16] or @file.")
]
HostsOption = Annotated[
    str | None,
    typer.Option(
        "--hosts", metavar="HOSTS", help="a,b or node[01-16] or @file; default: this machine."
    ),
]
FoundHosts = Annotated[
    str | None,
    typer.Option(
        "--hosts", metavar="HOSTS", help="Ask these hosts, not the runs' folders on this machine."
    ),
]
NoFacts = Annotated[bool, typer.Option("--no-facts", help="Ask the hosts nothing: a preview.")]
AcceptNewKeys = Annotated[
    bool, typer.Option("--accept-new-keys", help="Trust host keys never seen.")
]
Partition = Annotated[
    str, typer.Option("--partition", metavar="NAME", help="Slurm's partition (slurm.partition).")
]
Account = Annotated[
    str, typer.Option("--account", metavar="NAME", help="The account that pays (slurm.account).")
]
Time = Annotated[
    str, typer.Option("--time", metavar="TIME", help="The job's time limit: 4:00:00 (slurm.time).")
]
Nodes = Annotated[
    int | None,
    typer.Option(
        "--nodes", metavar="NUMBER", help="Nodes for engines that take all (slurm.nodes)."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def chosen_hosts(hosts: str | None, accept_new_keys: bool) -> "tuple[Access, ...]":
    """How the hosts are reached. Empty: this machine is meant."""
    from dsr1.hosts.inventory.parse import parse_hosts

    return () if hosts is None else parse_hosts(hosts, accept_new_keys)


def chosen_recipe(
    name: str, changes: list[str] | None, model: str, venv: str, profiles: list[str] | None = None
) -> "Recipe":
    """The recipe with what the options change."""
    from dsr1.launcher.recipe.load import load_recipe

    return load_recipe(name, changes or (), profiles or (), model, venv)


def tell_unused_spares(recipe: "Recipe") -> None:
    """To stderr: what a verb prints may be a script."""
    from dsr1.launcher.batch.script import unused_spares

    if note := unused_spares(recipe):
        print(f"dsr1: note: {note}", file=sys.stderr)


def slurm_changes(partition: str, account: str, time: str, nodes: int | None) -> list[str]:
    """As `--set` has them; quoted, since YAML reads a bare 4:00:00 as a number."""
    given = {"partition": partition, "account": account, "time": time}
    words = [f"slurm.{key}={json.dumps(value)}" for key, value in given.items() if value]
    return [*words, *([] if nodes is None else [f"slurm.nodes={nodes}"])]
