"""`dsr1 render`: a recipe as a script for those who start things themselves."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dsr1.launcher.cli.options import (
    AcceptNewKeys,
    Account,
    HostsOption,
    ModelPath,
    Nodes,
    NoFacts,
    Partition,
    Profiles,
    RecipeName,
    SetOption,
    Time,
    Venv,
    chosen_recipe,
    slurm_changes,
    tell_unused_spares,
)

if TYPE_CHECKING:
    from dsr1.launcher.preflight.survey import Survey
    from dsr1.launcher.recipe.models import Recipe


def render(
    recipe: RecipeName = "dsr1-dep",
    sbatch: Annotated[
        bool, typer.Option("--sbatch", help="A batch script: what launch --slurm submits.")
    ] = False,
    bash: Annotated[
        bool, typer.Option("--bash", help="A script that starts the plan's processes by hand.")
    ] = False,
    name: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="The run's name; default: the recipe's, in a job with its number."
        ),
    ] = "",
    profile: Profiles = None,
    changes: SetOption = None,
    model: ModelPath = "",
    venv: Venv = "",
    hosts: HostsOption = None,
    accept_new_keys: AcceptNewKeys = False,
    no_facts: NoFacts = False,
    partition: Partition = "",
    account: Account = "",
    time: Time = "",
    nodes: Nodes = None,
) -> None:
    """Print a script, for sbatch or for bash.

    The one for sbatch needs dsr1 where it runs, the one for bash the runtime alone.
    """
    from dsr1.hosts.errors import InputError
    from dsr1.launcher.cli.plan import survey_or_preview
    from dsr1.launcher.run.store import new_run

    asked = slurm_changes(partition, account, time, nodes)
    if sbatch == bash:
        raise InputError("render: say as what: --sbatch or --bash")
    if sbatch and (hosts is not None or accept_new_keys or no_facts):
        raise InputError(
            "--hosts, --accept-new-keys and --no-facts are for --bash: Slurm chooses a job's hosts"
        )
    if bash and asked:
        raise InputError("--partition, --account, --time and --nodes are for --sbatch")
    loaded = chosen_recipe(recipe, [*(changes or []), *asked], model, venv, profile)
    if name:
        new_run(name)
    if sbatch:
        print(_for_sbatch(loaded, name), end="")
    else:
        print(
            _for_bash(
                loaded,
                name or loaded.name,
                survey_or_preview(loaded, hosts, accept_new_keys, no_facts),
            ),
            end="",
        )


def _for_sbatch(recipe: "Recipe", name: str) -> str:
    from dsr1.launcher.batch.launch import batch_site, prepare_output
    from dsr1.launcher.batch.script import render_job

    prepare_output(recipe)
    tell_unused_spares(recipe)
    return render_job(recipe, batch_site(), name)


def _for_bash(recipe: "Recipe", name: str, seen: "Survey") -> str:
    """Its files are to lie in this folder, below its name. The script is a run with an identity of
    its own, the same at every start."""
    from dsr1.launcher.plan.plan import make_plan
    from dsr1.launcher.plan.render_bash import render_bash
    from dsr1.launcher.run.store import new_run_id

    folder = str(Path.cwd() / name)
    plan = make_plan(recipe, seen.hosts, name, folder, seen.facts, new_run_id())
    return render_bash(plan, folder)
