"""What verbs that change a deployment share."""

import re
from typing import Annotated

import typer

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.inventory.access import Access
from dsr1.launcher.cli.options.common import AcceptNewKeys

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The run's name.")]
NewHosts = Annotated[
    str, typer.Option("--hosts", metavar="+HOSTS", help="Hosts that come, too: +node09.")
]


@dataclass(frozen=True, slots=True)
class NewHostOptions:
    hosts: NewHosts = ""
    accept_new_keys: AcceptNewKeys = False

    def accesses(self) -> tuple[Access, ...]:
        """How they are reached. Empty: none come."""
        if not self.hosts:
            return ()
        from dsr1.hosts.inventory.parse import parse_hosts  # YAML, for those who name hosts

        return parse_hosts(re.sub(r"(^|,)\s*\+", r"\1", self.hosts), self.accept_new_keys)
