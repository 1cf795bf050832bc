"""Options that several verbs share, so that they look and mean the same everywhere.

Every option names its flags: typer 0.27 makes one out of `metavar` where none is named.
"""

from dataclasses import dataclass
from typing import Annotated

import typer

from dsr1.hosts.inventory.access import Access

RunName = Annotated[
    str | None, typer.Argument(metavar="RUN", help="The run's name; default: the newest run.")
]
HostsOption = Annotated[
    str | None,
    typer.Option(
        "--hosts", metavar="HOSTS", help="a,b or node[01-16] or @FILE; default: this machine."
    ),
]
RequiredHosts = Annotated[
    str, typer.Option("--hosts", metavar="HOSTS", help="a,b or node[01-16] or @FILE.")
]
FoundHosts = Annotated[
    str | None,
    typer.Option(
        "--hosts", metavar="HOSTS", help="Ask these hosts, not the runs' folders on this machine."
    ),
]
AcceptNewKeys = Annotated[
    bool,
    typer.Option(
        "--accept-new-keys",
        help="Take, and keep in known_hosts, the SSH key of a host not seen before.",
    ),
]
Follow = Annotated[
    bool,
    typer.Option("--follow", "-f", help="Keep printing the logs until the run ends."),
]
NoFacts = Annotated[
    bool, typer.Option("--no-facts", help="Preview: do not ask the hosts for their facts.")
]
ShowAll = Annotated[bool, typer.Option("--all", help="Also show what passed.")]
Venv = Annotated[
    str,
    typer.Option("--venv", metavar="FOLDER", help="The environment with vLLM (runtime.venv)."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _parse(hosts: str, accept_new_keys: bool) -> tuple[Access, ...]:
    from dsr1.hosts.inventory.parse import parse_hosts  # YAML, for those who name hosts

    return parse_hosts(hosts, accept_new_keys)


@dataclass(frozen=True, slots=True)
class HostOptions:
    hosts: HostsOption = None
    accept_new_keys: AcceptNewKeys = False

    def accesses(self) -> tuple[Access, ...]:
        """How the hosts are reached. Empty: this machine is meant."""
        return () if self.hosts is None else _parse(self.hosts, self.accept_new_keys)


@dataclass(frozen=True, slots=True)
class RequiredHostOptions:
    hosts: RequiredHosts
    accept_new_keys: AcceptNewKeys = False

    def accesses(self) -> tuple[Access, ...]:
        return _parse(self.hosts, self.accept_new_keys)


@dataclass(frozen=True, slots=True)
class FoundHostOptions:
    """Hosts that are asked for what lives on them, instead of the runs' folders here."""

    hosts: FoundHosts = None
    accept_new_keys: AcceptNewKeys = False

    def accesses(self) -> tuple[Access, ...] | None:
        """None: the folders here are meant."""
        return None if self.hosts is None else _parse(self.hosts, self.accept_new_keys)
