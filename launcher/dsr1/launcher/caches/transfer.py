"""JIT caches between hosts: every start that succeeds is harvested, and a host that lacks its cache
gets it first."""

from collections.abc import Iterable, Sequence

from dsr1.env.caches import HostCache, JitCache
from dsr1.hosts.errors import HostError
from dsr1.hosts.protocol.caches import HostPack, MergeCounts
from dsr1.hosts.protocol.plain import PlainT, parse_json
from dsr1.hosts.transport.base import AgentVerb, CommandResult, Transport
from dsr1.hosts.transport.parallel import run_parallel
from dsr1.launcher.caches.store import Pack, PackStore

PACK_S, UNPACK_S = 300.0, 120.0


def copy_caches(
    transport: Transport, caches: Iterable[HostCache], store: PackStore
) -> tuple[str, ...]:
    """Give every host what it lacks, all at once. What was done, in words: failing at it ends
    nothing."""
    known = tuple(caches)
    return _said([*map(str, give(transport, known, store).values()), *_unfilled(known, store)])


def give(
    transport: Transport, caches: Iterable[HostCache], store: PackStore
) -> dict[str, str | HostError]:
    """As `bring`, by host and folder: what was done, no words where nothing was, or why it
    wasn't."""
    return run_parallel(
        lambda one: _bring_one(transport, one, store),
        {f"{one.host} {one.cache.folder}": one for one in caches},
    )


def _bring_one(transport: Transport, one: HostCache, store: PackStore) -> str:
    held = open_host_cache(transport, one.host, one.cache)
    pack = store.find(one.cache.key)
    return (
        ""
        if pack is None or pack.digest == held.digest
        else push_pack(transport, one.host, pack, store)
    )


def _unfilled(caches: Iterable[HostCache], store: PackStore) -> list[str]:
    """Engines that no start known here has compiled for."""
    packs = {one.engine: (store.find(one.cache.key), one.cache.fill) for one in caches}
    new = [
        engine for engine, (pack, fill) in packs.items() if pack is None or fill not in pack.fills
    ]
    return (
        [f"nothing kept of an engine like {', '.join(new)}: what is missing will be compiled"]
        if new
        else []
    )


def _said(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"JIT cache: {said}" for said in words if said)


def push_pack(transport: Transport, host: str, pack: Pack, store: PackStore) -> str:
    """Add to the host's cache what it lacks of a pack; empty words: nothing. HostError names the
    host."""
    root = dict(pack.made_of)["root"]
    try:
        data = store.read(pack)
    except (OSError, ValueError) as error:
        raise HostError(f"{host}: {pack.key} not brought: {error}") from error
    verb = AgentVerb("cache-unpack", (root, pack.key, pack.sha256), UNPACK_S, data)
    added = _ask(transport, host, verb, MergeCounts).added
    if not added:
        return ""
    return f"{host} got {pack.key}: {added} files, {pack.packed / 1e6:.1f} MB sent"


def harvest(
    transport: Transport, caches: Iterable[HostCache], store: PackStore, run: str
) -> tuple[str, ...]:
    """Keep what the start has compiled, of each key from the first host that has it. What was done,
    in words."""
    by_key: dict[str, list[HostCache]] = {}
    for one in caches:
        by_key.setdefault(one.cache.key, []).append(one)
    return _said(
        map(
            str,
            run_parallel(lambda ones: _harvest_key(transport, ones, store, run), by_key).values(),
        )
    )


def _harvest_key(
    transport: Transport, ones: Sequence[HostCache], store: PackStore, run: str
) -> str:
    first = ones[0]
    held, known = open_host_cache(transport, first.host, first.cache), store.find(first.cache.key)
    fills = tuple(
        dict.fromkeys((*(known.fills if known else ()), *(one.cache.fill for one in ones)))
    )
    if not held.files or (known and known.fills == fills and known.files >= held.files):
        return ""
    data = _run(
        transport, first.host, AgentVerb("cache-pack", (first.cache.root, held.key), PACK_S)
    ).out
    made = (first.cache.made_of, fills, held.files, held.bytes, held.digest)
    try:
        kept = store.save(Pack(held.key, *made, f"{first.host}, run {run}"), data)
    except OSError as error:
        raise HostError(f"{held.key} of {first.host}: can't be kept here: {error}") from error
    size = f"{kept.files} files, {kept.bytes / 1e6:.0f} MB, packed {kept.packed / 1e6:.1f}"
    return f"kept {kept.key} of {first.host}: {size}"


def open_host_cache(transport: Transport, host: str, cache: JitCache) -> HostPack:
    return _ask(transport, host, AgentVerb("cache-open", (cache.root, cache.key)), HostPack)


def list_held(transport: Transport, host: str, root: str = "") -> list[HostPack]:
    """Without `root`, of the folder where caches are by default."""
    return [*_ask(transport, host, AgentVerb("cache-list", (root,)), tuple[HostPack, ...])]


def drop_held(transport: Transport, host: str, root: str, keys: Iterable[str]) -> list[str]:
    """Those that were there."""
    return [*_ask(transport, host, AgentVerb("cache-drop", (root, *keys)), tuple[str, ...])]


def _ask(transport: Transport, host: str, verb: AgentVerb, kind: type[PlainT]) -> PlainT:
    answer = _run(transport, host, verb)
    try:
        return parse_json(kind, answer.out)
    except ValueError as error:
        raise HostError(
            f"{host}: {verb.name}: its agent sent an unknown answer: {error}"
        ) from error


def _run(transport: Transport, host: str, verb: AgentVerb) -> CommandResult:
    answer = transport.run_verb(host, verb)
    if answer.code != 0:
        raise HostError(f"{host}: {verb.name}: {answer.last_lines}")
    return answer
