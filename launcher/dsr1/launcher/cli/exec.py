"""`dsr1 exec`: one command on many hosts, for the operator."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from dsr1.launcher.cli.options import AcceptNewKeys, AsJson, RequiredHosts, chosen_hosts


def exec_(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND", help="The command, after --.")],
    hosts: RequiredHosts,
    timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Seconds until a host is given up.")
    ] = 60.0,
    accept_new_keys: AcceptNewKeys = False,
    as_json: AsJson = False,
) -> None:
    """Run a command on every host.

    Its words are passed on as they are: no shell reads them. Equal outputs are shown once.
    """
    from ClusterShell.NodeSet import NodeSet

    from dsr1.hosts.transport.exec import fold_results, run_on_all

    said = run_on_all(chosen_hosts(hosts, accept_new_keys), command, timeout)
    if as_json:
        print(json.dumps({name: asdict(what) for name, what in said.items()}, indent=2))
    else:
        for what, names in fold_results(said).items():
            print(f"--- {NodeSet.fromlist(names)}{_ended(what.code)}\n{what.text.rstrip()}")
    if any(what.code != 0 for what in said.values()):
        raise typer.Exit(4)


def _ended(code: int | None) -> str:
    if code is None:
        return " (not run)"
    return " (ended by a signal)" if code < 0 else f" (exit status {code})" if code else ""
