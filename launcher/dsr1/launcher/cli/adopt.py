"""`dsr1 adopt`: watch a run again whose folder is lost."""

from typing import Annotated

import typer

from dsr1.launcher.cli.options import AcceptNewKeys, HostsOption, Venv, chosen_hosts

FoundName = Annotated[
    str, typer.Argument(metavar="RUN", help="The run's name, or the beginning of its identity.")
]


def adopt(
    run: FoundName,
    hosts: HostsOption = None,
    venv: Venv = "",
    accept_new_keys: AcceptNewKeys = False,
) -> None:
    """Rebuild a run's folder from its hosts, and watch it again.

    For a run whose folder was lost on the machine that launched it. `dsr1 ps --hosts` finds it.
    """
    from dsr1.launcher.cli.found_runs import adopt_by_hosts, host_python

    adopt_by_hosts(run, chosen_hosts(hosts, accept_new_keys), host_python(venv))
