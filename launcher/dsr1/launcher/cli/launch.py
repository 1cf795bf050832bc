"""`dsr1 launch`: a deployment, started here, over SSH or in a Slurm job; returns once it serves."""

import json
import os
import secrets
from collections.abc import Sequence
from typing import Annotated

import psutil
import typer

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.access import Access
from dsr1.launcher.batch.allocated import describe_lent, survey_lent
from dsr1.launcher.batch.launch import try_job
from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.options.common import AsJson, Follow, HostOptions
from dsr1.launcher.cli.options.completion import complete_checks
from dsr1.launcher.cli.options.recipe import RecipeOptions, Rehearse, SlurmOptions
from dsr1.launcher.cli.options.site import skip_of_site
from dsr1.launcher.cli.views.ages import seconds_since
from dsr1.launcher.cli.views.logs import print_logs
from dsr1.launcher.cli.views.notes import note_open_frontend, note_unused_spares, print_note
from dsr1.launcher.cli.views.start import start_view
from dsr1.launcher.commands.rehearsal import rehearse
from dsr1.launcher.operate.backends import backend_for
from dsr1.launcher.operate.logs import stream_logs
from dsr1.launcher.operate.removal import remove_run
from dsr1.launcher.operate.summary import save_ready_after, summarize, usual_start_s
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.plan.render_text import render_summary
from dsr1.launcher.preflight.preflight import choose_checks, extras_of, refuse_unfit
from dsr1.launcher.preflight.survey import survey_any
from dsr1.launcher.recipe.load import Resolved
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.recipe.render import sources_of
from dsr1.launcher.run.backend import LaunchRequest
from dsr1.launcher.run.prepare import frontend_secrets
from dsr1.launcher.run.record.sources import ValueSource
from dsr1.launcher.run.signals import interrupt_on_signals
from dsr1.launcher.run.store import Run, new_run
from dsr1.slurm.allocation import Allocation, own_allocation


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """Which checks judge the hosts before anything is started."""

    no_check: Annotated[bool, typer.Option("--no-check", help="Do not check the hosts first.")] = (
        False
    )
    skip_check: Annotated[
        list[str] | None,
        typer.Option(
            "--skip-check",
            metavar="CHECK",
            help="Skip this check or kind; may be repeated.",
            autocompletion=complete_checks,
        ),
    ] = None

    def skipped(self) -> tuple[str, ...]:
        """InputError: there is no such check, which is said before any host is asked."""
        skip = tuple(self.skip_check or ())
        choose_checks((), skip)
        return skip if self.no_check else (*skip, *skip_of_site())


@dataclass(frozen=True, slots=True)
class JobOptions:
    """Whether to launch in a Slurm job, and how."""

    slurm: Annotated[
        bool, typer.Option("--slurm", help="Launch in a Slurm job; see the recipe's slurm keys.")
    ] = False
    test_only: Annotated[
        bool,
        typer.Option("--test-only", help="Ask Slurm when the job could start; submit nothing."),
    ] = False
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Return once the job is submitted.")
    ] = False


def launch(
    recipe: RecipeOptions,
    hosts: HostOptions,
    checks: CheckOptions,
    job: JobOptions,
    slurm_keys: SlurmOptions,
    name: Annotated[
        str,
        typer.Option(
            "--name",
            metavar="NAME",
            help="The run's name; default: the recipe's and four characters.",
        ),
    ] = "",
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Remove the run of that name first, if it is over."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check the hosts and show the plan; start nothing."),
    ] = False,
    rehearsed: Rehearse = False,
    follow: Follow = False,
    as_json: AsJson = False,
) -> None:
    """Start a deployment: here, over SSH, or in a Slurm job.

    Returns once it serves; Ctrl-C before that rolls everything back.
    """
    _refuse_contradictions(hosts, job, slurm_keys, follow)
    if as_json and (follow or dry_run or job.test_only):
        raise InputError("--json tells of a launch; --follow, --dry-run and --test-only print more")
    allocation = None if job.slurm or hosts.named else own_allocation(os.environ)
    elsewhere = job.slurm or hosts.named or allocation is not None
    resolved = recipe.resolve(slurm_keys.changes(), elsewhere=elsewhere)
    loaded = rehearse(resolved.recipe) if rehearsed else resolved.recipe
    refuse_unread(loaded)  # at once, and not by hosts or in a job
    name = name or f"{loaded.name}-{secrets.token_hex(2)}"
    new_run(name)  # refused at once, also where nothing is to be started
    skip = checks.skipped()
    if job.slurm:
        note_unused_spares(loaded)
    if job.test_only or (dry_run and job.slurm):
        print(try_job(loaded, name))
        return
    accesses = hosts.accesses()
    if dry_run:
        ids = () if checks.no_check else choose_checks((), skip)
        print(_dry_run(loaded, accesses, allocation, name, ids))
        return
    if allocation:
        print_note(describe_lent(allocation))
    if replace and new_run(name).folder.exists():
        remove_run(new_run(name))
    told = (checks.no_check, skip, not job.no_wait, value_sources(resolved), allocation)
    request = LaunchRequest(loaded, name, accesses, *told)
    interrupt_on_signals()
    began = entered_at()
    usual_s = usual_start_s(loaded.name, len(accesses)) if accesses else None
    with start_view(name, began, usual_s, quiet=as_json) as show:
        run = backend_for(accesses, job.slurm, allocation is not None).launch(request, show)
    _tell(run, not job.no_wait, began, as_json)
    if follow:
        print_logs(stream_logs(run, follow=True), flush=True)


def value_sources(resolved: Resolved) -> dict[str, ValueSource]:
    found = sources_of(resolved).items()
    return {key: ValueSource(json.dumps(value), source) for key, (value, source) in found}


def refuse_unread(recipe: Recipe) -> None:
    """InputError: a file that the recipe names can't be used."""
    frontend_secrets(recipe)
    if recipe.metrics.tls or recipe.metrics.password_file:
        from dsr1.launcher.operate.scraping.access import read_access

        read_access(recipe.metrics)


def _refuse_contradictions(
    hosts: HostOptions, job: JobOptions, slurm_keys: SlurmOptions, follow: bool
) -> None:
    if job.slurm and hosts.named:
        raise InputError(
            "--slurm excludes --hosts and --on: Slurm chooses the hosts; to name them use"
            " --set slurm.nodelist=..."
        )
    if not job.slurm and (slurm_keys.changes() or job.test_only or job.no_wait):
        raise InputError(
            "--partition, --account, --time, --nodes, --test-only and --no-wait go with --slurm"
            " only"
        )
    if job.no_wait and follow:
        raise InputError(
            "--no-wait and --follow exclude each other: the job has no logs yet; use"
            " `dsr1 logs -f` later"
        )


def _dry_run(
    recipe: Recipe,
    accesses: Sequence[Access],
    allocation: Allocation | None,
    name: str,
    ids: Sequence[str],
) -> str:
    """CheckFailed where the launch would fail, too: by the checks of these ids."""
    if allocation:
        survey = survey_lent(recipe, allocation, ids)
    else:
        survey = survey_any(recipe, accesses, extras_of(ids))
    refuse_unfit(survey, ids)
    run = new_run(name)
    return render_summary(make_plan(recipe, survey.hosts, name, str(run.folder), survey.facts))


def _tell(run: Run, serves: bool, began: float, as_json: bool) -> None:
    took = seconds_since(began)
    if serves:
        save_ready_after(run, took)
        note_open_frontend(run.plan())
    if as_json:
        ready = {"ready_after_s": round(took, 1) if serves else None}
        ANSWER.put("launch", {**_launched(run), **ready})
    else:
        print(_ready_line(run, took) if serves else _submitted_line(run), flush=True)


def _launched(run: Run) -> dict[str, object]:
    summary = summarize(run)
    named = {"run": run.name, "url": summary.url, "model": summary.model}
    return {**named, "hosts": summary.hosts, "job": str(run.job() or "")}


def _submitted_line(run: Run) -> str:
    return f"run {run.name}: submitted as {run.job()}; `dsr1 status {run.name}` shows its state"


def entered_at() -> float:
    """When the command was entered, in seconds since the epoch."""
    return psutil.Process().create_time()


def _ready_line(run: Run, took_s: float) -> str:
    service = run.plan().service
    ready = f"ready after {took_s:.1f} s"
    return f"run {run.name}: {ready}, {service.url}/v1 serves {service.model}"
