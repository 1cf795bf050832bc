"""`dsr1 cache push`: JIT caches that this machine keeps, to hosts."""

from dsr1.hosts.transport.connect import connect_hosts
from dsr1.hosts.transport.parallel import raise_all, run_parallel
from dsr1.launcher.caches.selection import choose_packs
from dsr1.launcher.caches.store import jit_store
from dsr1.launcher.caches.transfer import push_pack
from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.answers.hosts import errors_of
from dsr1.launcher.cli.cache.options import CacheKeys, Python
from dsr1.launcher.cli.options.common import RequiredHostOptions


def push_caches(
    hosts: RequiredHostOptions, keys: CacheKeys = None, python: Python = "python3"
) -> None:
    """Copy JIT caches kept here to hosts that lack them.

    Without KEYs all of them. `launch` does this by itself for the caches of its plan.
    """
    store = jit_store()
    packs = choose_packs(store.list(), keys or ())
    if not packs:
        print("no caches are kept here")
    with connect_hosts(hosts.accesses(), python) as (transport, names):
        pairs = {f"{host} {pack.key}": (host, pack) for host in names for pack in packs}
        results = run_parallel(lambda pair: push_pack(transport, *pair, store), pairs)
    copied = [
        {"host": host, "key": pack.key, "copied": bool(results[pair])}
        for pair, (host, pack) in pairs.items()
        if isinstance(results[pair], str)
    ]
    ANSWER.put(
        "pushed-caches", copied, errors_of({pairs[pair][0]: one for pair, one in results.items()})
    )
    for pair, line in results.items():
        if isinstance(line, str):
            print(line or f"{pair}: already complete")
    raise_all(results)
