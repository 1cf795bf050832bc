"""`dsr1 adopt`: watch a run again whose folder is lost."""

from typing import Annotated

import typer

from dsr1.launcher.cli.options.common import HostOptions, Venv
from dsr1.launcher.cli.views.found_runs import adopt_by_hosts, host_python

FoundName = Annotated[
    str, typer.Argument(metavar="RUN", help="The run's name, or the beginning of its identity.")
]


def adopt(run: FoundName, hosts: HostOptions, venv: Venv = "") -> None:
    """Rebuild a run's folder from its hosts, and watch the run again.

    For a run whose folder was lost on the machine that launched it. `dsr1 ps --hosts` finds it.
    """
    adopt_by_hosts(run, hosts.accesses(), host_python(venv))
