"""JIT caches between hosts: every start that succeeds is harvested, and a host that lacks its cache gets it first."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dsr1.env.caches import HostCache, JitCache
from dsr1.hosts.errors import HostError
from dsr1.hosts.transport import Answer, Question, Transport
from dsr1.launcher.agents import at_once
from dsr1.launcher.jit_store import Pack, Store

PACK_S, UNPACK_S = 300.0, 120.0


@dataclass(frozen=True, slots=True)
class Held:
    """What a host has of a key. `changed` is seconds since the epoch."""

    key: str
    files: int
    bytes: int
    digest: str
    changed: float


def bring(transport: Transport, caches: Iterable[HostCache], store: Store) -> tuple[str, ...]:
    """Give every host what it lacks, all at once. What was done, in words: failing at it ends nothing."""
    wanted = {f"{one.host} {one.cache.folder}": one for one in caches}
    done = at_once(lambda one: _bring_one(transport, one, store), wanted)
    return tuple(f"JIT cache: {words}" for words in map(str, done.values()) if words)


def _bring_one(transport: Transport, one: HostCache, store: Store) -> str:
    held = open_cache(transport, one.host, one.cache)
    pack = store.find(one.cache.key)
    if pack is None or pack.digest == held.digest or pack.files <= held.files:
        return ""
    return push(transport, one.host, pack, store)


def push(transport: Transport, host: str, pack: Pack, store: Store) -> str:
    """Add to the host's cache what it lacks of a pack. HostError names the host."""
    root = dict(pack.made_of)["root"]
    try:
        data = store.read(pack)
    except (OSError, ValueError) as error:
        return f"{pack.key} not brought to {host}: {error}"
    told = _told(transport, host, Question("cache-unpack", (root, pack.key, pack.sha256), UNPACK_S, data))
    return f"{host} got {pack.key}: {told['added']} files, {pack.packed / 1e6:.1f} MB sent" if told["added"] else ""


def harvest(transport: Transport, caches: Iterable[HostCache], store: Store, run: str) -> tuple[str, ...]:
    """Keep what the start has compiled, of each key from the first host that has it. What was done, in words."""
    firsts = {one.cache.key: one for one in reversed([*caches])}
    done = at_once(lambda one: _harvest_one(transport, one, store, run), firsts)
    return tuple(f"JIT cache: {words}" for words in map(str, done.values()) if words)


def _harvest_one(transport: Transport, one: HostCache, store: Store, run: str) -> str:
    held = open_cache(transport, one.host, one.cache)
    known = store.find(one.cache.key)
    if not held.files or (known and (known.digest == held.digest or known.files >= held.files)):
        return ""
    data = _asked(transport, one.host, Question("cache-pack", (one.cache.root, one.cache.key), PACK_S)).out
    source = f"{one.host}, run {run}"
    kept = store.save(Pack(held.key, one.cache.made_of, held.files, held.bytes, held.digest, source), data)
    size = f"{kept.files} files, {kept.bytes / 1e6:.0f} MB, packed {kept.packed / 1e6:.1f}"
    return f"kept {kept.key} of {one.host}: {size}"


def open_cache(transport: Transport, host: str, cache: JitCache) -> Held:
    return Held(**_told(transport, host, Question("cache-open", (cache.root, cache.key))))


def list_held(transport: Transport, host: str, root: str = "") -> list[Held]:
    """Without `root`, of the folder where caches are by default."""
    return [Held(**held) for held in _told(transport, host, Question("cache-list", (root,)))]


def drop_held(transport: Transport, host: str, root: str, keys: Iterable[str]) -> list[str]:
    """Those that were there."""
    return [str(key) for key in _told(transport, host, Question("cache-drop", (root, *keys)))]


def _told(transport: Transport, host: str, question: Question) -> Any:
    answer = _asked(transport, host, question)
    try:
        return json.loads(answer.out)
    except ValueError as error:
        raise HostError(f"{host}: {question.verb}: its agent says what this dsr1 doesn't know: {error}") from error


def _asked(transport: Transport, host: str, question: Question) -> Answer:
    answer = transport.ask(host, question)
    if answer.code != 0:
        raise HostError(f"{host}: {question.verb}: {answer.last_words}")
    return answer
