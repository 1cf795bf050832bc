"""`dsr1 render`: a recipe as a script for those who start things themselves."""

from typing import Annotated

import typer

from dsr1.launcher.cli.options import (
    Account,
    Changes,
    ModelPath,
    Nodes,
    Partition,
    Profiles,
    RecipeName,
    Time,
    Venv,
    chosen_recipe,
    slurm_changes,
    tell_unused_spares,
)


def render(
    recipe: RecipeName = "dsr1-dep",
    sbatch: Annotated[bool, typer.Option("--sbatch", help="A batch script for sbatch.")] = False,
    name: Annotated[str, typer.Option(help="The run's name; default: the recipe's and the job's number.")] = "",
    profile: Profiles = None,
    changes: Changes = None,
    model: ModelPath = "",
    venv: Venv = "",
    partition: Partition = "",
    account: Account = "",
    time: Time = "",
    nodes: Nodes = 0,
) -> None:
    """Print the batch script that does what `launch --slurm` does."""
    from dsr1.hosts.errors import InputError
    from dsr1.launcher.job_script import render_job
    from dsr1.launcher.jobs import prepare_output, this_site
    from dsr1.launcher.runs import new_run

    if not sbatch:
        raise InputError("render: say as what: --sbatch")
    if name:
        new_run(name)
    changes = [*(changes or []), *slurm_changes(partition, account, time, nodes)]
    loaded = chosen_recipe(recipe, changes, model, venv, profile)
    prepare_output(loaded)
    tell_unused_spares(loaded)
    print(render_job(loaded, this_site(), name), end="")
