"""The `--hosts` option: names, with an address where the name itself isn't one."""

import re

from dsr1.hosts.errors import InputError
from dsr1.hosts.host import Host, this_machine
from dsr1.launcher.recipe import Recipe
from dsr1.launcher.topology import GPUS_PER_NODE, wanted_nodes

_HOST = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")


def parse_hosts(option: str, recipe: Recipe) -> tuple[Host, ...]:
    """`a,b=10.0.0.2` to hosts; nothing is this machine, as often as the recipe wants nodes. Raises InputError."""
    if not option:
        return this_machine(wanted_nodes(recipe), GPUS_PER_NODE)
    return tuple(_parse_host(part.strip()) for part in option.split(","))


def _parse_host(part: str) -> Host:
    name, _, address = part.partition("=")
    if not _HOST.match(name) or (address and not _HOST.match(address)):
        raise InputError(f"--hosts: {part!r} is not a host; wanted name or name=address, for example node1=10.0.0.1")
    return Host(name, address or name)
