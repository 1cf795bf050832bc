"""A host: a machine to run on, and how its peers and its agent reach it."""

from dsr1.hosts.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Host:
    """`address` is where its peers reach it (control network), `interface` the one that owns that
    address.

    `hca` names the adapters that it is to use; empty: those that its facts speak for. Two hosts of
    one address are one machine: they share its GPUs and its ports.
    """

    name: str
    address: str
    interface: str = ""
    gpus: int = 8
    arch: str = ""
    hca: tuple[str, ...] = ()


def this_machine(count: int, gpus: int) -> tuple[Host, ...]:
    """This machine, standing in for `count` hosts. They talk over loopback, so that no network is
    needed."""
    names = ["localhost"] if count == 1 else [f"local{number}" for number in range(count)]
    return tuple(Host(name, "127.0.0.1", "lo", gpus) for name in names)
