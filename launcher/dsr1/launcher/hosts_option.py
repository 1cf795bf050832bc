"""The hosts of a preview: those of `--hosts` by their names, or this machine; nothing is asked of them."""

from dsr1.hosts.host import Host, this_machine
from dsr1.hosts.inventory import parse_hosts
from dsr1.launcher.recipe import Recipe
from dsr1.launcher.topology import GPUS_PER_NODE, wanted_nodes


def preview_hosts(option: str | None, recipe: Recipe) -> tuple[Host, ...]:
    """`launch` replaces names by the addresses and interfaces that it finds. Raises InputError."""
    if option is None:
        return this_machine(wanted_nodes(recipe), GPUS_PER_NODE)
    return tuple(
        Host(
            access.name,
            access.control_address or access.target,
            "",
            GPUS_PER_NODE if access.gpus is None else access.gpus,
        )
        for access in parse_hosts(option)
    )
