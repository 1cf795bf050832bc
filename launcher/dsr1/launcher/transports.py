"""Which transport a run's agents are reached by, and what its hosts look like before there is a plan."""

import sys
from collections.abc import Container, Sequence
from dataclasses import dataclass

from dsr1.hosts.access import Access
from dsr1.hosts.errors import HostError, InputError
from dsr1.hosts.host import Host
from dsr1.hosts.local import LocalTransport
from dsr1.hosts.ssh import Sight, SshTransport
from dsr1.hosts.transport import Transport
from dsr1.launcher.agents import at_once, raise_all
from dsr1.launcher.runs import Run


def transport_of(run: Run, python: str = "") -> Transport:
    """The run's own. Locally any Python ends and looks; `python` is the runtime's, which agents are started with."""
    settings = run.settings() if run.is_remote() or not python else None
    if settings is not None and settings.hosts:
        return SshTransport(settings.hosts, run.name, settings.python)
    return LocalTransport(run.folder / "hosts", (python or sys.executable,))


@dataclass(frozen=True, slots=True)
class Seen:
    """The hosts that a plan may use, the spares that are left, and how all of them are reached."""

    hosts: tuple[Host, ...]
    spares: tuple[Host, ...]
    accesses: tuple[Access, ...]


def see_hosts(accesses: Sequence[Access], spares: Sequence[Access], transport: SshTransport) -> Seen:
    """Every host with its control address and interface: those of its route to the leader, the first host.

    A host that can't be used gives its place to a spare. Raises HostError naming every host that can't be used when
    there aren't enough, InputError for one machine under two names.
    """
    first = _see_all((*accesses, *spares), transport, "")
    usable = {name: sight for name, sight in first.items() if isinstance(sight, Sight)}
    _refuse_same(usable)
    chosen, left = take_places(accesses, spares, usable)
    if len(chosen) < len(accesses):
        raise_all(first)
    leader = chosen[0].control_address or usable[chosen[0].name].address
    if not leader or leader.startswith("127."):
        raise HostError(f"{chosen[0].name}: its address {leader or 'is unknown'}: give control_address in an inventory")
    seen = _see_all((*chosen, *left), transport, leader)
    raise_all(seen)
    hosts = {access.name: _host(access, seen[access.name]) for access in (*chosen, *left)}
    return Seen(tuple(hosts[a.name] for a in chosen), tuple(hosts[a.name] for a in left), (*chosen, *left))


def take_places(
    accesses: Sequence[Access], spares: Sequence[Access], usable: Container[str]
) -> tuple[tuple[Access, ...], tuple[Access, ...]]:
    """Who is in, and which spares are left: a spare stands where the host was whose place it takes."""
    free = [spare for spare in spares if spare.name in usable]
    placed = [access if access.name in usable else (free.pop(0) if free else None) for access in accesses]
    return tuple(access for access in placed if access is not None), tuple(free)


def _see_all(accesses: Sequence[Access], transport: SshTransport, peer: str) -> dict[str, Sight | HostError]:
    return at_once(lambda name: transport.see(name, peer), {access.name: access.name for access in accesses})


def _refuse_same(seen: dict[str, Sight]) -> None:
    """The boot id is one of a running kernel, whichever name it goes by."""
    names: dict[str, list[str]] = {}
    for name, sight in seen.items():
        names.setdefault(sight.boot_id, []).append(name)
    doubles = [" and ".join(same) for same in names.values() if len(same) > 1]
    if doubles:
        raise InputError(f"--hosts: {'; '.join(doubles)} are one machine")


def _host(access: Access, sight: Sight | HostError) -> Host:
    assert isinstance(sight, Sight)
    address = access.control_address or sight.address
    if not sight.interface:
        raise HostError(f"{access.name}: no interface owns {address}; give its control_address in an inventory")
    gpus = sight.gpus if access.gpus is None else access.gpus
    return Host(access.name, address, sight.interface, gpus, sight.arch)
