"""The agent's verbs for JIT caches: VERB ROOT [KEY ...]; an empty ROOT is the default. They print
JSON or a pack."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from dsr1.hosts.agent.caches.jit_cache import (
    CacheError,
    drop,
    list_caches,
    open_cache,
    pack,
    unpack,
)
from dsr1.hosts.agent.facts.jit_cache import cache_root
from dsr1.hosts.protocol.plain import to_json


def run_cache_verb(verb: str, values: list[str]) -> int:
    """Exit status 1 with one line on stderr when it can't be done."""
    root, *keys = values
    try:
        sys.stdout.buffer.write(VERBS[verb](Path(root or cache_root()), keys))
    except (CacheError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _unpack(root: Path, keys: list[str]) -> bytes:
    key, sha256 = keys
    return b"%d" % unpack(root, key, sha256, sys.stdin.buffer.read())


VERBS: dict[str, Callable[[Path, list[str]], bytes]] = {
    "cache-list": lambda root, keys: _json([asdict(cache) for cache in list_caches(root)]),
    "cache-open": lambda root, keys: to_json(open_cache(root, *keys)),
    "cache-pack": lambda root, keys: pack(root, *keys),
    "cache-unpack": _unpack,
    "cache-drop": lambda root, keys: _json(drop(root, keys)),
}
