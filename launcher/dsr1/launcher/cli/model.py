"""`dsr1 model`: the weights, whole and near, on every host."""

import json
import os
from typing import Annotated

import typer

from dsr1.launcher.cli.options import (
    AcceptNewKeys,
    AsJson,
    HostsOption,
    RequiredHosts,
    chosen_hosts,
)

model = typer.Typer(
    help="The model's files on the hosts.", no_args_is_help=True, rich_markup_mode=None
)
JobVenv = Annotated[
    str,
    typer.Option(
        "--venv", metavar="FOLDER", help="An environment on the hosts; default: their python3."
    ),
]


def python_of(venv: str) -> str:
    return f"{venv.rstrip('/')}/bin/python" if venv else "python3"


@model.command()
def verify(
    path: Annotated[
        str, typer.Argument(metavar="MODEL", help="Its folder on every host, or a hub's id.")
    ],
    hosts: HostsOption = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Hash every shard, too: minutes, at the disk's speed.")
    ] = False,
    venv: JobVenv = "",
    accept_new_keys: AcceptNewKeys = False,
    every: Annotated[bool, typer.Option("--all", help="Show what passed, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Whether a model is whole on every host, and the same on all.

    Exit code 3 when it isn't.
    """
    from dsr1.launcher.cli.findings_view import show_findings
    from dsr1.launcher.cli.transfer import make_transfer_view
    from dsr1.launcher.model.verify import verify_model

    accesses = chosen_hosts(hosts, accept_new_keys)
    with make_transfer_view() as show:
        findings = verify_model(path, accesses, python_of(venv), deep, show)
    show_findings(findings, every, as_json)


@model.command()
def fetch(
    repos: Annotated[
        list[str], typer.Argument(metavar="OWNER/NAME", help="Repositories of the hub.")
    ],
    to: Annotated[
        str, typer.Option(metavar="FOLDER", help="The folder above: each comes into TO/NAME.")
    ],
    hosts: HostsOption = None,
    revision: Annotated[
        str | None, typer.Option(metavar="NAME", help="A branch, tag or commit; default: main.")
    ] = None,
    venv: JobVenv = "",
    patience: Annotated[
        float, typer.Option(metavar="SECONDS", help="Seconds that the hub may be out of reach.")
    ] = 600.0,
    accept_new_keys: AcceptNewKeys = False,
    as_json: AsJson = False,
) -> None:
    """Download a model from a hub.

    HF_ENDPOINT and HF_TOKEN are read. The same command goes on after any interruption.
    """
    from dsr1.launcher.cli.transfer import make_transfer_view
    from dsr1.launcher.model.fetch import FetchRequest, fetch_model

    target = os.path.abspath(to) if to and hosts is None else to  # noqa: PTH100 - without "..", links as they are
    wish = FetchRequest(tuple(repos), target, revision, patience)
    accesses = chosen_hosts(hosts, accept_new_keys)
    with make_transfer_view() as show:
        folders = fetch_model(wish, accesses, python_of(venv), os.environ, show)
    if as_json:
        print(json.dumps(folders, indent=2))
    else:
        print(
            "\n".join(
                f"{folder}: whole, commit {commit[:12]}" for folder, commit in folders.items()
            )
        )


@model.command()
def push(
    source: Annotated[
        str, typer.Argument(metavar="FOLDER", help="The model's folder on the host that has it.")
    ],
    hosts: RequiredHosts,
    to: Annotated[
        str,
        typer.Option(metavar="FOLDER", help="The folder on each host; default: as at the source."),
    ] = "",
    giver: Annotated[
        str,
        typer.Option(
            "--from", metavar="HOST", help="The host that has it; default: the first of --hosts."
        ),
    ] = "",
    venv: JobVenv = "",
    patience: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="Seconds that a host waits for anything from those ahead."
        ),
    ] = 120.0,
    accept_new_keys: AcceptNewKeys = False,
    as_json: AsJson = False,
) -> None:
    """Copy a model from one host to a disk of each.

    Its bytes leave the source once, which may be a file system that all share.
    """
    from dsr1.hosts.errors import Dsr1Error
    from dsr1.hosts.protocol.jobs.messages import render_size
    from dsr1.hosts.transport.jobs import raise_worst
    from dsr1.launcher.cli.transfer import make_transfer_view
    from dsr1.launcher.model.push import make_push_request, push_model

    accesses = chosen_hosts(hosts, accept_new_keys)
    known = {access.name: access for access in accesses}
    named = (
        (known[giver] if giver in known else chosen_hosts(giver, accept_new_keys)[0])
        if giver
        else None
    )
    with make_transfer_view() as show:
        results = push_model(
            make_push_request(source, to, named, accesses, patience), python_of(venv), show
        )
    received = {
        host: result.received
        for host, result in results.items()
        if not isinstance(result, Dsr1Error)
    }
    lines = (f"{host}: whole, {render_size(count)} came" for host, count in received.items())
    print(json.dumps(received, indent=2) if as_json else "\n".join(lines))
    raise_worst(results)
