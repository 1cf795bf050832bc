"""`dsr1 model fetch`: a model from a hub to this machine, or to each of many hosts."""

import os
from typing import Annotated

import typer

from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.model.options import AgentVenv, python_of
from dsr1.launcher.cli.options.common import AsJson, HostOptions
from dsr1.launcher.cli.views.jobs import make_transfer_view
from dsr1.launcher.model.fetch import FetchRequest, fetch_model


def fetch(
    repos: Annotated[
        list[str], typer.Argument(metavar="OWNER/NAME", help="Repositories of the hub.")
    ],
    to: Annotated[
        str,
        typer.Option("--to", metavar="FOLDER", help="The parent folder: each goes into TO/NAME."),
    ],
    hosts: HostOptions,
    revision: Annotated[
        str | None,
        typer.Option("--revision", metavar="NAME", help="A branch, tag or commit; default: main."),
    ] = None,
    venv: AgentVenv = "",
    patience: Annotated[
        float,
        typer.Option("--patience", metavar="SECONDS", help="How long the hub may be out of reach."),
    ] = 600.0,
    as_json: AsJson = False,
) -> None:
    """Download a model from a hub.

    HF_ENDPOINT and HF_TOKEN are read. The same command resumes after any interruption.
    """
    here = to and not hosts.named
    target = os.path.abspath(to) if here else to  # noqa: PTH100 - without "..", links as they are
    request = FetchRequest(tuple(repos), target, revision, patience)
    accesses = hosts.accesses()
    with make_transfer_view() as show:
        folders = fetch_model(request, accesses, python_of(venv), os.environ, show)
    if as_json:
        rows = [{"folder": folder, "commit": commit} for folder, commit in folders.items()]
        ANSWER.put("fetched-models", rows)
        return
    for folder, commit in folders.items():
        print(f"{folder}: complete, commit {commit[:12]}")
