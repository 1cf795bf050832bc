"""`dsr1 launch`: bring a deployment up on this machine, and return once it serves."""

import secrets
from typing import Annotated

import typer

from dsr1.launcher.cli.options import AcceptNewKeys, Changes, ModelPath, RecipeName, Venv, chosen_recipe


def launch(
    recipe: RecipeName = "dsr1-dep",
    hosts: Annotated[
        str | None, typer.Option(help="Hosts over SSH: a,b or node[01-16] or @file; default: this machine.")
    ] = None,
    name: Annotated[str, typer.Option(help="The run's name; default: the recipe's and four letters.")] = "",
    changes: Changes = None,
    model: ModelPath = "",
    venv: Venv = "",
    accept_new_keys: AcceptNewKeys = False,
    no_check: Annotated[bool, typer.Option("--no-check", help="Don't judge the hosts first.")] = False,
    skip_check: Annotated[list[str] | None, typer.Option(help="Go on without this check or kind.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Stay: print the logs until it ends.")] = False,
) -> None:
    """Launch on hosts over SSH, or on this machine. Ctrl-C while it starts rolls back."""
    from dsr1.hosts.inventory import parse_hosts
    from dsr1.launcher.checking import choose
    from dsr1.launcher.cli.view import make_view, print_logs
    from dsr1.launcher.executor import launch_run

    loaded = chosen_recipe(recipe, changes, model, venv)
    accesses = parse_hosts(hosts, accept_new_keys) if hosts is not None else ()
    checks = () if no_check else choose((), skip_check or ())
    with make_view() as show:
        run = launch_run(loaded, name or f"{loaded.name}-{secrets.token_hex(2)}", accesses, show, checks)
    service = run.plan().service
    print(
        f"run {run.name}: ready after {run.state().ready_after} s, {service.url}/v1 serves {service.model}", flush=True
    )
    if follow:
        print_logs(run, follow=True)
