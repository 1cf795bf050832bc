"""`dsr1 model`: the weights, whole and near, on every host."""

from typing import Annotated

import typer

from dsr1.launcher.cli.options import AcceptNewKeys, AsJson

model = typer.Typer(help="The model's files on the hosts.", no_args_is_help=True, rich_markup_mode=None)
SomeHosts = Annotated[
    str | None, typer.Option("--hosts", help="Hosts: a,b or node[01-16] or @file; default: this machine.")
]
JobVenv = Annotated[str, typer.Option("--venv", help="An environment on the hosts; default: their python3.")]


def python_of(venv: str) -> str:
    return f"{venv.rstrip('/')}/bin/python" if venv else "python3"


@model.command()
def verify(
    path: Annotated[str, typer.Argument(metavar="MODEL", help="Its folder on every host, or a hub's id.")],
    hosts: SomeHosts = None,
    deep: Annotated[bool, typer.Option("--deep", help="Hash every shard, too: minutes, at the disk's speed.")] = False,
    venv: JobVenv = "",
    accept_new_keys: AcceptNewKeys = False,
    every: Annotated[bool, typer.Option("--all", help="Show what passed, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look whether a model is whole on every host, and the same on all. Exit code 3 when it isn't."""
    from dsr1.hosts.inventory import parse_hosts
    from dsr1.launcher.cli.check import show_findings
    from dsr1.launcher.cli.transfer import make_transfer_view
    from dsr1.launcher.model_verify import verify_model

    accesses = () if hosts is None else parse_hosts(hosts, accept_new_keys)
    with make_transfer_view() as show:
        findings = verify_model(path, accesses, python_of(venv), deep, show)
    show_findings(findings, every, as_json)
