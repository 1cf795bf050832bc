"""Options that several verbs share, so that they look and mean the same everywhere.

Every option names its flags: typer 0.27 makes one out of `metavar` where none is named.
"""

from typing import Annotated

import typer

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.access import Access
from dsr1.launcher.cli.options.completion import complete_runs, complete_sets

RunName = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN",
        help="The run's name; default: the newest run.",
        autocompletion=complete_runs,
    ),
]
HostsOption = Annotated[
    str | None,
    typer.Option(
        "--hosts", metavar="HOSTS", help="a,b or node[01-16] or @FILE; default: this machine."
    ),
]
OnSet = Annotated[
    str,
    typer.Option(
        "--on",
        metavar="SET",
        help="The hosts that the site file has by this name.",
        autocompletion=complete_sets,
    ),
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
AsLines = Annotated[
    bool, typer.Option("--ndjson", "--json", help="Print a line of JSON for each line.")
]


@dataclass(frozen=True, slots=True)
class _AnyHosts:
    """Hosts by --hosts, or by --on."""

    hosts: HostsOption = None
    on: OnSet = ""
    accept_new_keys: AcceptNewKeys = False

    @property
    def named(self) -> bool:
        return self.hosts is not None or bool(self.on)

    def _parsed(self) -> tuple[Access, ...]:
        if self.on and self.hosts is not None:
            raise InputError("--on and --hosts exclude each other: both say which hosts")
        if self.on:
            from dsr1.launcher.site.load import load_site

            return load_site().host_set(self.on, self.accept_new_keys)
        from dsr1.hosts.inventory.parse import parse_hosts  # YAML, for those who name hosts

        return parse_hosts(self.hosts or "", self.accept_new_keys)


@dataclass(frozen=True, slots=True)
class HostOptions(_AnyHosts):
    def accesses(self) -> tuple[Access, ...]:
        """How the hosts are reached. Empty: this machine is meant."""
        return self._parsed() if self.named else ()


@dataclass(frozen=True, slots=True)
class RequiredHostOptions(_AnyHosts):
    def accesses(self) -> tuple[Access, ...]:
        if not self.named:
            raise InputError("which hosts? Give --hosts, or --on with a set of the site file")
        return self._parsed()


@dataclass(frozen=True, slots=True)
class FoundHostOptions(_AnyHosts):
    """Hosts that are asked for what lives on them, instead of the runs' folders here."""

    hosts: FoundHosts = None

    def accesses(self) -> tuple[Access, ...] | None:
        """None: the folders here are meant."""
        return self._parsed() if self.named else None
