"""`dsr1 render`: a recipe as a script for those who start things themselves."""

from pathlib import Path
from typing import Annotated

import typer

from dsr1.hosts.errors import InputError
from dsr1.launcher.batch.launch import batch_site, prepare_output
from dsr1.launcher.batch.script import render_job
from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.options.common import AsJson, HostOptions, NoFacts
from dsr1.launcher.cli.options.recipe import RecipeOptions, SlurmOptions
from dsr1.launcher.cli.plan import survey_or_preview
from dsr1.launcher.cli.views.notes import note_unused_spares
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.plan.render_bash import render_bash
from dsr1.launcher.plan.render_nginx import render_nginx
from dsr1.launcher.preflight.survey_result import Survey
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.run.store import new_run, new_run_id


def render(
    recipe: RecipeOptions,
    hosts: HostOptions,
    slurm: SlurmOptions,
    sbatch: Annotated[
        bool, typer.Option("--sbatch", help="A batch script: what launch --slurm submits.")
    ] = False,
    bash: Annotated[
        bool, typer.Option("--bash", help="A script that starts the plan's processes by hand.")
    ] = False,
    nginx: Annotated[
        bool,
        typer.Option("--nginx", help="An nginx in front, for HTTPS and clients' keys."),
    ] = False,
    name: Annotated[
        str,
        typer.Option(
            "--name",
            metavar="NAME",
            help="The run's name; default: the recipe's, in a job followed by its number.",
        ),
    ] = "",
    no_facts: NoFacts = False,
    as_json: AsJson = False,
) -> None:
    """Print a script for sbatch or bash, or a proxy in front.

    The script for sbatch needs dsr1 where it runs; the one for bash only the runtime.
    """
    _refuse_contradictions(sbatch + bash + nginx, sbatch, hosts, slurm, no_facts)
    loaded = recipe.load(slurm.changes())
    if name:
        new_run(name)
    if sbatch:
        text = _for_sbatch(loaded, name)
    else:
        survey = survey_or_preview(loaded, hosts, no_facts or nginx)
        make = _for_nginx if nginx else _for_bash
        text = make(loaded, name or loaded.name, survey)
    if as_json:
        ANSWER.put("script", {"text": text})
    else:
        print(text, end="")


def _refuse_contradictions(
    chosen: int, sbatch: bool, hosts: HostOptions, slurm: SlurmOptions, no_facts: bool
) -> None:
    if chosen != 1:
        raise InputError("render: choose --sbatch, --bash or --nginx")
    if sbatch and (hosts != HostOptions() or no_facts):
        raise InputError(
            "--hosts, --on, --accept-new-keys and --no-facts go with --bash and --nginx: Slurm"
            " chooses a job's hosts"
        )
    if not sbatch and slurm.changes():
        raise InputError("--partition, --account, --time and --nodes go with --sbatch only")


def _for_sbatch(recipe: Recipe, name: str) -> str:
    prepare_output(recipe)
    note_unused_spares(recipe)
    return render_job(recipe, batch_site(), name)


def _for_bash(recipe: Recipe, name: str, survey: Survey) -> str:
    """The script keeps its files in this folder, below the run's name. It is a run with an identity
    of its own, the same at every start."""
    folder = str(Path.cwd() / name)
    plan = make_plan(recipe, survey.hosts, name, folder, survey.facts, new_run_id())
    return render_bash(plan, folder)


def _for_nginx(recipe: Recipe, name: str, survey: Survey) -> str:
    """Facts change nothing of it."""
    plan = make_plan(recipe, survey.hosts, name, str(Path.cwd() / name))
    return render_nginx(plan, recipe.frontend.tls)
