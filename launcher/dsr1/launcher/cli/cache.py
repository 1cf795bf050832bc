"""`dsr1 cache`: JIT caches, those that this machine keeps and those of hosts."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from dsr1.launcher.cli.options import AcceptNewKeys, AsJson, RequiredHosts, chosen_hosts

if TYPE_CHECKING:
    from dsr1.hosts.errors import HostError
    from dsr1.hosts.protocol.caches import HostPack
    from dsr1.hosts.transport.base import Transport
    from dsr1.launcher.caches.store import Pack

AgedT = TypeVar("AgedT", "Pack", "HostPack")

app = typer.Typer(
    help="What compilers made for earlier starts.", no_args_is_help=True, rich_markup_mode=None
)

Hosts = Annotated[
    str | None,
    typer.Option(
        metavar="HOSTS", help="a,b or node[01-16] or @file; default: this machine's store."
    ),
]
Root = Annotated[
    str,
    typer.Option(
        metavar="FOLDER", help="The recipe's runtime.cache_dir; default: the one in /var/tmp."
    ),
]
Python = Annotated[
    str, typer.Option(metavar="PYTHON", help="The Python that runs the agent on the hosts.")
]


@app.command("ls")
def list_(
    hosts: Hosts = None,
    root: Root = "",
    python: Python = "python3",
    accept_new_keys: AcceptNewKeys = False,
    as_json: AsJson = False,
) -> None:
    """List what is kept here, or with --hosts what the hosts hold."""
    from dsr1.hosts.transport.connect import connect_hosts
    from dsr1.hosts.transport.parallel import raise_all
    from dsr1.launcher.caches.store import jit_store

    if hosts is None:
        packs = jit_store().list()
        lines = "\n".join(map(_pack_line, packs)) or "no cache is kept here"
        print(json.dumps([asdict(pack) for pack in packs], indent=2) if as_json else lines)
        return
    with connect_hosts(chosen_hosts(hosts, accept_new_keys), python) as (transport, names):
        told = _told(transport, names, root)
    held = _held(told)
    if as_json:
        print(
            json.dumps(
                {host: [asdict(one) for one in found] for host, found in held.items()}, indent=2
            )
        )
    elif held:
        lines = "\n".join(_held_line(host, one) for host, found in held.items() for one in found)
        print(lines or "no host holds a cache")
    raise_all(told)


@app.command("push")
def push_(
    hosts: RequiredHosts,
    keys: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY", help="Keys as `cache ls` shows them; default: all."),
    ] = None,
    python: Python = "python3",
    accept_new_keys: AcceptNewKeys = False,
) -> None:
    """Give hosts what they lack of what is kept here.

    `launch` does it by itself for the keys of its plan.
    """
    from dsr1.hosts.transport.connect import connect_hosts
    from dsr1.hosts.transport.parallel import raise_all, run_parallel
    from dsr1.launcher.caches.store import jit_store
    from dsr1.launcher.caches.transfer import push_pack

    store = jit_store()
    packs = _chosen(store.list(), keys or [])
    with connect_hosts(chosen_hosts(hosts, accept_new_keys), python) as (transport, names):
        pairs = {f"{host} {pack.key}": (host, pack) for host in names for pack in packs}
        done = run_parallel(lambda pair: push_pack(transport, *pair, store), pairs)
    if not packs:
        print("no cache is kept here")
    for pair, words in done.items():
        if isinstance(words, str):
            print(words or f"{pair}: complete already")
    raise_all(done)


@app.command()
def prune(
    hosts: Hosts = None,
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="KEY", help="Keys as `cache ls` shows them.")
    ] = None,
    older: Annotated[
        float | None,
        typer.Option(min=0, metavar="DAYS", help="Also what is older than so many days."),
    ] = None,
    root: Root = "",
    python: Python = "python3",
    accept_new_keys: AcceptNewKeys = False,
) -> None:
    """Remove caches here, or with --hosts on the hosts.

    The next start compiles what it lacks.
    """
    from dsr1.hosts.errors import InputError
    from dsr1.hosts.transport.connect import connect_hosts
    from dsr1.hosts.transport.parallel import raise_all, run_parallel
    from dsr1.launcher.caches.store import jit_store
    from dsr1.launcher.caches.transfer import drop_held

    if not keys and older is None:
        raise InputError("cache prune: wanted KEYS or --older DAYS; `dsr1 cache ls` lists them")
    if hosts is None:
        packs = jit_store().list()
        _refuse_unknown(keys or [], packs, "is kept here")
        for pack in _due(packs, keys or [], older):
            jit_store().drop(pack.key)
            print(f"removed {pack.key}")
        return
    with connect_hosts(chosen_hosts(hosts, accept_new_keys), python) as (transport, names):
        told = _told(transport, names, root)
        found = _held(told)
        if found:
            _refuse_unknown(
                keys or [], [one for held in found.values() for one in held], "is held by a host"
            )
        due = {
            host: [one.key for one in _due(held, keys or [], older)] for host, held in found.items()
        }
        gone = run_parallel(
            lambda host: drop_held(transport, host, root, due[host]),
            {host: host for host in due if due[host]},
        )
    for host, removed in gone.items():
        for key in removed if isinstance(removed, list) else ():
            print(f"{host}: removed {key}")
    raise_all({**told, **gone})


HeldByHost = dict[str, "list[HostPack] | HostError"]


def _told(transport: "Transport", names: Sequence[str], root: str) -> HeldByHost:
    """By host; one that doesn't answer keeps no other from it."""
    from dsr1.hosts.transport.parallel import run_parallel
    from dsr1.launcher.caches.transfer import list_held

    return run_parallel(
        lambda host: list_held(transport, host, root), {host: host for host in names}
    )


def _held(told: HeldByHost) -> "dict[str, list[HostPack]]":
    return {host: held for host, held in told.items() if isinstance(held, list)}


def _chosen(packs: "list[Pack]", keys: list[str]) -> "list[Pack]":
    _refuse_unknown(keys, packs, "is kept here")
    known = {pack.key: pack for pack in packs}
    return [known[key] for key in keys] or packs


def _refuse_unknown(keys: list[str], found: "Sequence[Pack | HostPack]", where: str) -> None:
    from dsr1.hosts.errors import InputError

    known = {one.key for one in found}
    if missing := [key for key in keys if key not in known]:
        raise InputError(f"no cache {', '.join(missing)} {where}; `dsr1 cache ls` lists them")


def _due(found: "Sequence[AgedT]", keys: list[str], older: float | None) -> "list[AgedT]":
    """Named ones, and those that are older than so many days."""
    before = time.time() - older * 86400 if older is not None else 0.0
    return [one for one in found if one.key in keys or one.changed < before]


def _pack_line(pack: "Pack") -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(pack.changed))
    size = f"{pack.files} files, {pack.bytes / 1e6:.0f} MB, packed {pack.packed / 1e6:.1f}"
    return f"{pack.key}  {when}  {size}  for {len(pack.fills)} engines  from {pack.source}"


def _held_line(host: str, held: "HostPack") -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(held.changed))
    return f"{host:<16} {held.key}  {when}  {held.files} files, {held.bytes / 1e6:.0f} MB"
