"""`dsr1 check`: whether the hosts are fit, before anything is started."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dsr1.hosts.events import Finding

STYLES = {"FAIL": "bold red", "UNKNOWN": "magenta", "WARN": "yellow", "PASS": "green", "SKIP": "dim"}
QUIET = ("PASS", "SKIP")


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


def show_findings(findings: "Sequence[Finding]", every: bool, as_json: bool) -> None:
    """Print them; exit with 3 when one is a FAIL."""
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        print_findings(findings, every)
    if any(finding.verdict == "FAIL" for finding in findings):
        raise typer.Exit(3)


def print_findings(findings: "Sequence[Finding]", every: bool) -> None:
    """Failures first, equal findings folded; then how many there were of each verdict."""
    from collections import Counter

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("", "check", "hosts", "seen", "wanted, and how to get there", box=None, header_style="bold")
    for verdict, *words in fold_rows([finding for finding in findings if every or finding.verdict not in QUIET]):
        table.add_row(Text(verdict, style=STYLES[verdict]), *map(Text, words))
    console = Console(highlight=False)
    if table.row_count:
        console.print(table)
    counts = Counter(finding.verdict for finding in findings)
    console.print(Text(", ".join(f"{counts[verdict]} {verdict}" for verdict in STYLES if counts[verdict])))


def fold_rows(findings: "Sequence[Finding]") -> "list[tuple[str, str, str, str, str]]":
    """Verdict, checks, hosts, seen, wanted: one row for hosts that one check finds alike, and for checks alike."""
    from ClusterShell.NodeSet import NodeSet

    hosts: dict[tuple[str, str, str, str], list[str]] = {}
    for f in findings:
        hosts.setdefault((f.verdict, f.check, f.seen, "\n".join(filter(None, (f.wanted, f.fix)))), []).append(f.host)
    checks: dict[tuple[str, str, str, str], list[str]] = {}
    for (verdict, check, seen, wanted), names in hosts.items():
        checks.setdefault((verdict, str(NodeSet.fromlist(names)), seen, wanted), []).append(check)
    return [(verdict, "\n".join(names), *rest) for (verdict, *rest), names in checks.items()]  # type: ignore[misc]
