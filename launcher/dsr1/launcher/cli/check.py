"""`dsr1 check`: whether the hosts are fit, before anything is started."""

from typing import Annotated

import typer

from dsr1.launcher.cli.findings_view import show_findings
from dsr1.launcher.cli.options import (
    AcceptNewKeys,
    AsJson,
    Changes,
    ModelPath,
    Profiles,
    RecipeName,
    Venv,
    chosen_recipe,
)


def check(
    recipe: RecipeName = "dsr1-dep",
    hosts: Annotated[
        str | None, typer.Option(help="Hosts: a,b or node[01-16] or @file; default: this machine.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="This check or kind alone: ibgda.params, gpu.")] = None,
    skip: Annotated[list[str] | None, typer.Option(help="Not this check or kind.")] = None,
    profile: Profiles = None,
    changes: Changes = None,
    model: ModelPath = "",
    venv: Venv = "",
    accept_new_keys: AcceptNewKeys = False,
    every: Annotated[bool, typer.Option("--all", help="Show what passed, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look at every host and judge it. Exit code 3 when something fails."""
    from dsr1.hosts.inventory import parse_hosts
    from dsr1.launcher.checking import check_hosts

    accesses = () if hosts is None else parse_hosts(hosts, accept_new_keys)
    findings = check_hosts(chosen_recipe(recipe, changes, model, venv, profile), accesses, only or (), skip or ())
    show_findings(findings, every, as_json)
