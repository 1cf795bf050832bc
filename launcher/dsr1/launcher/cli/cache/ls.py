"""`dsr1 cache ls`: which JIT caches there are, here or on hosts."""

import time
from collections.abc import Iterator
from dataclasses import asdict

from dsr1.hosts.inventory.names import counted, counted_files
from dsr1.hosts.protocol.caches import HostPack
from dsr1.hosts.transport.connect import connect_hosts
from dsr1.hosts.transport.parallel import answered, raise_all
from dsr1.launcher.caches.store import Pack, jit_store
from dsr1.launcher.caches.transfer import list_all
from dsr1.launcher.cli.answers.envelope import ANSWER, iso_time
from dsr1.launcher.cli.answers.hosts import errors_of
from dsr1.launcher.cli.cache.options import Python, Root
from dsr1.launcher.cli.options.common import AsJson, HostOptions


def ls(
    hosts: HostOptions, root: Root = "", python: Python = "python3", as_json: AsJson = False
) -> None:
    """List the JIT caches kept here, or with --hosts those on the hosts."""
    if not hosts.named:
        _list_kept(as_json)
    else:
        _list_held(hosts, root, python, as_json)


def _list_kept(as_json: bool) -> None:
    packs = jit_store().list()
    if as_json:
        ANSWER.put("kept-caches", [_json_pack(pack) for pack in packs])
    else:
        print("\n".join(map(_pack_line, packs)) or "no caches are kept here")


def _list_held(hosts: HostOptions, root: str, python: str, as_json: bool) -> None:
    with connect_hosts(hosts.accesses(), python) as (transport, names):
        results = list_all(transport, names, root)
    by_host = answered(results)
    if as_json:
        plain = {host: [_json_pack(pack) for pack in packs] for host, packs in by_host.items()}
        ANSWER.put("host-caches", plain, errors_of(results))
    elif by_host:
        print("\n".join(_held_lines(by_host)) or "no host has a cache")
    raise_all(results)


def _json_pack(pack: Pack | HostPack) -> dict[str, object]:
    plain = asdict(pack)
    return {**plain, "changed_at": iso_time(plain.pop("changed"))}


def _held_lines(by_host: dict[str, list[HostPack]]) -> Iterator[str]:
    for host, packs in by_host.items():
        for pack in packs:
            size = counted_files(pack.files, pack.bytes)
            yield f"{host:<16} {pack.key}  {_minute(pack.changed)}  {size}"


def _pack_line(pack: Pack) -> str:
    size = f"{counted_files(pack.files, pack.bytes)}, packed {pack.packed / 1e6:.1f} MB"
    whose = f"for {counted(len(pack.fills), 'engine')}  from {pack.source}"
    return f"{pack.key}  {_minute(pack.changed)}  {size}  {whose}"


def _minute(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
