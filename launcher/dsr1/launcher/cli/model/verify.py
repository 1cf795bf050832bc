"""`dsr1 model verify`: whether a model is complete on every host, and the same on all."""

from typing import Annotated

import typer

from dsr1.launcher.cli.model.options import AgentVenv, python_of
from dsr1.launcher.cli.options.common import AsJson, HostOptions, ShowAll
from dsr1.launcher.cli.views.findings import show_findings
from dsr1.launcher.cli.views.jobs import make_transfer_view
from dsr1.launcher.model.verify import verify_model


def verify(
    path: Annotated[
        str, typer.Argument(metavar="MODEL", help="Its folder on every host, or its hub id.")
    ],
    hosts: HostOptions,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also hash every shard: minutes, at the disk's speed.")
    ] = False,
    venv: AgentVenv = "",
    every: ShowAll = False,
    as_json: AsJson = False,
) -> None:
    """Verify that a model is complete on every host.

    It must also be the same on all of them. Exit code 3 when it isn't.
    """
    accesses = hosts.accesses()
    with make_transfer_view() as show:
        findings = verify_model(path, accesses, python_of(venv), deep, show)
    show_findings(findings, every, as_json)
