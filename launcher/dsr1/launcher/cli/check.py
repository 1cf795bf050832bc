"""`dsr1 check`: whether the hosts are fit, before anything is started."""

from typing import TYPE_CHECKING, Annotated

import typer

from dsr1.launcher.cli.findings_view import show_findings
from dsr1.launcher.cli.options import (
    AcceptNewKeys,
    AsJson,
    HostsOption,
    ModelPath,
    Profiles,
    RecipeName,
    Rehearse,
    SetOption,
    Venv,
    chosen_hosts,
    chosen_recipe,
)

if TYPE_CHECKING:
    from dsr1.hosts.protocol.events import Finding
    from dsr1.launcher.preflight.survey import Survey
    from dsr1.launcher.recipe.models import Recipe


def check(
    recipe: RecipeName = "dsr1-dep",
    hosts: HostsOption = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHECK", help="This check or kind: ibgda.params, gpu; may be repeated."
        ),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(metavar="CHECK", help="Not this check or kind; may be repeated."),
    ] = None,
    profile: Profiles = None,
    changes: SetOption = None,
    model: ModelPath = "",
    venv: Venv = "",
    rehearsed: Rehearse = False,
    accept_new_keys: AcceptNewKeys = False,
    fabric: Annotated[
        bool,
        typer.Option("--fabric", help="Measure every way between the hosts, too (net.fabric)."),
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="Show what passed, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look at every host, and judge it.

    Exit code 3 when something fails.
    """
    from dsr1.env.checks.all import worst_first
    from dsr1.hosts.errors import InputError
    from dsr1.launcher.commands.rehearsal import rehearse
    from dsr1.launcher.preflight.fabric_report import CHECK
    from dsr1.launcher.preflight.preflight import choose_checks, extras_of, judge_survey
    from dsr1.launcher.preflight.survey import survey_any

    ids, loaded = (
        choose_checks(only or (), skip or ()),
        chosen_recipe(recipe, changes, model, venv, profile),
    )
    loaded = rehearse(loaded) if rehearsed else loaded
    if not ids and not fabric:
        raise InputError("--only and --skip: nothing is left to judge")
    accesses = chosen_hosts(hosts, accept_new_keys)
    seen = survey_any(loaded, accesses, extras_of(ids))
    findings = judge_survey(seen, ids)
    if fabric or CHECK in (only or ()):
        findings = [*findings, *measured(loaded, seen, as_json)]
    show_findings(worst_first(findings), every, as_json)


def measured(recipe: "Recipe", seen: "Survey", as_json: bool) -> "list[Finding]":
    """Every way between the hosts, shown as a table, and what is slow of it."""
    from dsr1.launcher.preflight.fabric_report import judge_fabric, render_matrix
    from dsr1.launcher.preflight.fabric_test import measure_fabric

    fabric = measure_fabric(recipe, seen)
    if fabric.ways and not as_json:
        print(render_matrix(fabric), end="\n\n")
    return list(judge_fabric(fabric))
