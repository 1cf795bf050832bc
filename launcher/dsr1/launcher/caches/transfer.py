"""JIT caches between hosts: every start that succeeds is harvested, and a host that lacks its cache
gets it first."""

from collections.abc import Collection, Iterable, Sequence
from functools import partial

from dsr1.env.caches import HostCache, JitCache
from dsr1.hosts.errors import HostError
from dsr1.hosts.inventory.names import counted_files
from dsr1.hosts.protocol.caches import HostPack
from dsr1.hosts.protocol.plain import PlainT, parse_json
from dsr1.hosts.transport.base import AgentVerb, CommandResult, Transport, read_answer
from dsr1.hosts.transport.parallel import run_on_all, run_parallel
from dsr1.launcher.caches.store import Pack, PackStore

PACK_S, UNPACK_S, MOST_PACK = 300.0, 120.0, 512 << 20  # bytes


def copy_caches(
    transport: Transport, caches: Iterable[HostCache], store: PackStore
) -> tuple[str, ...]:
    """Give every host what it lacks, all at once. Lines that say what was done: a failure here ends
    nothing."""
    all_caches = tuple(caches)
    results = map(str, give(transport, all_caches, store).values())
    return _notes([*results, *_uncompiled(all_caches, store)])


def give(
    transport: Transport, caches: Iterable[HostCache], store: PackStore
) -> dict[str, str | HostError]:
    """By host and folder: a line that says what was done, an empty one where nothing was, or why it
    failed."""
    return run_parallel(
        lambda one: _give_one(transport, one, store),
        {f"{one.host} {one.cache.folder}": one for one in caches},
        what="giving JIT caches to hosts",
    )


def _give_one(transport: Transport, one: HostCache, store: PackStore) -> str:
    held = open_host_cache(transport, one.host, one.cache)
    pack = store.find(one.cache.key)
    if pack is None or pack.digest == held.digest:
        return ""
    return push_pack(transport, one.host, pack, store)


def _uncompiled(caches: Iterable[HostCache], store: PackStore) -> list[str]:
    """Engines for which no start known here has compiled."""
    packs = {one.engine: (store.find(one.cache.key), one.cache.fill) for one in caches}
    new = [
        engine for engine, (pack, fill) in packs.items() if pack is None or fill not in pack.fills
    ]
    if not new:
        return []
    return [f"none is kept for an engine like {', '.join(new)}: what is missing will be compiled"]


def _notes(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"JIT cache: {line}" for line in lines if line)


def push_pack(transport: Transport, host: str, pack: Pack, store: PackStore) -> str:
    """Add to the host's cache what it lacks of a pack, and say so; empty: nothing. HostError names
    the host."""
    root = dict(pack.made_of)["root"]
    try:
        data = store.read(pack)
    except (OSError, ValueError) as error:
        raise HostError(f"{host}: {pack.key} was not sent: {error}") from error
    verb = AgentVerb("cache-unpack", (root, pack.key, pack.sha256), UNPACK_S, data)
    added = _ask(transport, host, verb, int)
    size = counted_files(added, pack.packed)
    return f"{host} received {pack.key}: {size} sent" if added else ""


def harvest(
    transport: Transport,
    caches: Iterable[HostCache],
    store: PackStore,
    run: str,
    sources: Collection[str] = (),
) -> tuple[str, ...]:
    """Keep what the start has compiled, of each key from the first host that has it, of `sources`
    where some are named. Lines that say what was done."""
    by_key: dict[str, list[HostCache]] = {}
    for one in caches:
        if not sources or one.host in sources:
            by_key.setdefault(one.cache.key, []).append(one)
    results = run_parallel(lambda ones: _harvest_key(transport, ones, store, run), by_key)
    return _notes(map(str, results.values()))


def _harvest_key(
    transport: Transport, caches: Sequence[HostCache], store: PackStore, run: str
) -> str:
    first = caches[0]
    held, known = open_host_cache(transport, first.host, first.cache), store.find(first.cache.key)
    before = known.fills if known else ()
    fills = tuple(dict.fromkeys((*before, *(one.cache.fill for one in caches))))
    if not held.files or (known and known.fills == fills and known.files >= held.files):
        return ""
    verb = AgentVerb("cache-pack", (first.cache.root, held.key), PACK_S, most=MOST_PACK)
    data = _run(transport, first.host, verb).out
    made = (first.cache.made_of, fills, held.files, held.bytes, held.digest)
    try:
        kept = store.save(Pack(held.key, *made, f"{first.host}, run {run}"), data)
    except OSError as error:
        raise HostError(f"{held.key} of {first.host}: can't be kept here: {error}") from error
    size = counted_files(kept.files, kept.bytes)
    return f"kept {kept.key} of {first.host}: {size}, sha256 {kept.sha256[:16]}"


def open_host_cache(transport: Transport, host: str, cache: JitCache) -> HostPack:
    verb = AgentVerb("cache-open", (cache.root, cache.key))
    return _ask(transport, host, verb, HostPack)


def list_held(transport: Transport, host: str, root: str = "") -> list[HostPack]:
    """Without `root`, of the folder where caches are by default."""
    verb = AgentVerb("cache-list", (root,))
    return [*_ask(transport, host, verb, tuple[HostPack, ...])]


def list_all(
    transport: Transport, hosts: Iterable[str], root: str
) -> dict[str, list[HostPack] | HostError]:
    """By host; one that doesn't answer keeps no other from it."""
    return run_on_all(lambda host: list_held(transport, host, root), hosts)


def drop_held(transport: Transport, host: str, root: str, keys: Iterable[str]) -> list[str]:
    """Those that were there."""
    verb = AgentVerb("cache-drop", (root, *keys))
    return [*_ask(transport, host, verb, tuple[str, ...])]


def _ask(transport: Transport, host: str, verb: AgentVerb, kind: type[PlainT]) -> PlainT:
    return read_answer(host, _run(transport, host, verb), partial(parse_json, kind), verb.name)


def _run(transport: Transport, host: str, verb: AgentVerb) -> CommandResult:
    answer = transport.run_verb(host, verb)
    if answer.code != 0:
        raise HostError(f"{host}: {verb.name}: {answer.last_lines}")
    return answer
