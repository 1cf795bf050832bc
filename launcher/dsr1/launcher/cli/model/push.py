"""`dsr1 model push`: a model from one host to a disk of each."""

from collections.abc import Sequence
from typing import Annotated

import typer

from dsr1.hosts.inventory.access import Access
from dsr1.hosts.inventory.parse import parse_hosts
from dsr1.hosts.protocol.jobs.messages import render_size
from dsr1.hosts.protocol.jobs.orders import PushResult
from dsr1.hosts.transport.jobs import JobResults, raise_worst
from dsr1.hosts.transport.parallel import answered
from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.answers.hosts import errors_of
from dsr1.launcher.cli.model.options import AgentVenv, python_of
from dsr1.launcher.cli.options.common import AsJson, RequiredHostOptions
from dsr1.launcher.cli.views.jobs import make_transfer_view
from dsr1.launcher.model.push import make_push_request, push_model


def push(
    source: Annotated[
        str, typer.Argument(metavar="FOLDER", help="The model's folder on the host that has it.")
    ],
    hosts: RequiredHostOptions,
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="FOLDER", help="The folder on each host; default: as at the source."
        ),
    ] = "",
    giver: Annotated[
        str,
        typer.Option(
            "--from", metavar="HOST", help="The host that has it; default: the first of --hosts."
        ),
    ] = "",
    venv: AgentVenv = "",
    patience: Annotated[
        float,
        typer.Option(
            "--patience", metavar="SECONDS", help="How long a host waits for data from the others."
        ),
    ] = 120.0,
    as_json: AsJson = False,
) -> None:
    """Copy a model from one host to a disk of each.

    Its bytes leave the source once. The source may be a shared file system.
    """
    accesses = hosts.accesses()
    named = _named_source(giver, accesses, hosts.accept_new_keys) if giver else None
    request = make_push_request(source, to, named, accesses, patience)
    with make_transfer_view() as show:
        results = push_model(request, python_of(venv), show)
    _print_received(results, as_json)
    raise_worst(results)


def _print_received(results: JobResults[PushResult], as_json: bool) -> None:
    received = {host: result.received for host, result in answered(results).items()}
    if as_json:
        rows = {host: {"received_bytes": count} for host, count in received.items()}
        ANSWER.put("pushed-model", rows, errors_of(results))
        return
    for host, count in received.items():
        print(f"{host}: complete, {render_size(count)} received")


def _named_source(name: str, accesses: Sequence[Access], accept_new_keys: bool) -> Access:
    known = {access.name: access for access in accesses}
    return known[name] if name in known else parse_hosts(name, accept_new_keys)[0]
