"""`dsr1 cache prune`: JIT caches removed, here or on hosts."""

import time
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from dsr1.hosts.errors import HostError, InputError
from dsr1.hosts.protocol.caches import HostPack
from dsr1.hosts.transport.connect import connect_hosts
from dsr1.hosts.transport.parallel import answered, raise_all, run_on_all
from dsr1.launcher.caches.selection import CacheSelection, refuse_unknown
from dsr1.launcher.caches.store import jit_store
from dsr1.launcher.caches.transfer import drop_held, list_all
from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.answers.hosts import errors_of
from dsr1.launcher.cli.cache.options import CacheKeys, Python, Root
from dsr1.launcher.cli.options.common import HostOptions


def prune(
    hosts: HostOptions,
    keys: CacheKeys = None,
    older: Annotated[
        float | None,
        typer.Option(
            "--older", min=0, metavar="DAYS", help="Also remove what is older than this many days."
        ),
    ] = None,
    root: Root = "",
    python: Python = "python3",
) -> None:
    """Remove JIT caches here, or with --hosts on the hosts.

    The next start compiles what is missing.
    """
    if not keys and older is None:
        raise InputError("cache prune: give KEYs or --older DAYS; `dsr1 cache ls` lists the keys")
    before = 0.0 if older is None else time.time() - older * 86400
    selection = CacheSelection(tuple(keys or ()), before)
    if not hosts.named:
        _prune_here(selection)
    else:
        _prune_hosts(selection, hosts, root, python)


def _prune_here(selection: CacheSelection) -> None:
    store = jit_store()
    packs = store.list()
    refuse_unknown(selection.keys, packs, "is kept here")
    due = selection.due(packs)
    for key in due:
        store.drop(key)
        print(f"removed {key}")
    ANSWER.put("removed-caches", [{"host": "", "key": key} for key in due])


def _prune_hosts(selection: CacheSelection, hosts: HostOptions, root: str, python: str) -> None:
    with connect_hosts(hosts.accesses(), python) as (transport, names):
        results = list_all(transport, names, root)
        due = _due_by_host(selection, answered(results))
        dropped = run_on_all(lambda host: drop_held(transport, host, root, due[host]), due)
    _print_removed(dropped)
    raise_all({**results, **dropped})


def _due_by_host(
    selection: CacheSelection, by_host: Mapping[str, Sequence[HostPack]]
) -> dict[str, list[str]]:
    """Only hosts on which something is to be removed."""
    if by_host:
        packs = [pack for held in by_host.values() for pack in held]
        refuse_unknown(selection.keys, packs, "is on any host")
    due = {host: selection.due(held) for host, held in by_host.items()}
    return {host: keys for host, keys in due.items() if keys}


def _print_removed(dropped: Mapping[str, list[str] | HostError]) -> None:
    rows = [
        {"host": host, "key": key} for host, removed in answered(dropped).items() for key in removed
    ]
    ANSWER.put("removed-caches", rows, errors_of(dropped))
    for row in rows:
        print("{host}: removed {key}".format(**row))
