"""`dsr1 check`: whether the hosts are fit, before anything is started."""

from typing import Annotated

import typer

from dsr1.env.checks.all import worst_first
from dsr1.hosts.errors import InputError
from dsr1.hosts.protocol.events import Finding
from dsr1.launcher.cli.options.common import AsJson, HostOptions, ShowAll
from dsr1.launcher.cli.options.completion import complete_checks
from dsr1.launcher.cli.options.recipe import RecipeOptions, Rehearse
from dsr1.launcher.cli.options.site import skip_of_site
from dsr1.launcher.cli.views.findings import show_findings
from dsr1.launcher.commands.rehearsal import rehearse
from dsr1.launcher.preflight.fabric_report import CHECK, judge_fabric, render_matrix
from dsr1.launcher.preflight.fabric_test import measure_fabric
from dsr1.launcher.preflight.preflight import choose_checks, extras_of, judge_survey
from dsr1.launcher.preflight.survey import survey_any
from dsr1.launcher.preflight.survey_result import Survey
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.run.prepare import frontend_secrets


def check(
    recipe: RecipeOptions,
    hosts: HostOptions,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="CHECK",
            help="Only this check or kind: ibgda.params, gpu; may be repeated.",
            autocompletion=complete_checks,
        ),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(
            "--skip",
            metavar="CHECK",
            help="Skip this check or kind; may be repeated.",
            autocompletion=complete_checks,
        ),
    ] = None,
    rehearsed: Rehearse = False,
    fabric: Annotated[
        bool,
        typer.Option("--fabric", help="Also measure every link between the hosts (net.fabric)."),
    ] = False,
    every: ShowAll = False,
    as_json: AsJson = False,
) -> None:
    """Check whether every host is fit.

    Exit code 3 when a check fails.
    """
    skipped = [*(skip or ()), *(() if only else skip_of_site())]
    ids, loaded = choose_checks(only or (), skipped), recipe.load(elsewhere=hosts.named)
    loaded = rehearse(loaded) if rehearsed else loaded
    frontend_secrets(loaded)  # files of this machine: no host could judge them
    if not ids and not fabric:
        raise InputError("--only and --skip leave no check to run")
    survey = survey_any(loaded, hosts.accesses(), extras_of(ids))
    findings = judge_survey(survey, ids)
    if fabric or CHECK in (only or ()):
        findings = [*findings, *_test_fabric(loaded, survey, as_json)]
    show_findings(worst_first(findings), every, as_json)


def _test_fabric(recipe: Recipe, survey: Survey, as_json: bool) -> list[Finding]:
    """Every link between the hosts, shown as a table, and findings on those that are slow."""
    fabric = measure_fabric(recipe, survey)
    if fabric.ways and not as_json:
        print(render_matrix(fabric), end="\n\n")
    return list(judge_fabric(fabric))
