"""Where this host keeps JIT caches: on its own disk, and across reboots, which /tmp often isn't."""

import os
from collections.abc import Iterator

from dsr1.hosts.protocol.facts.fact import Reader


def cache_root() -> str:
    """One folder of the user's own directly in /var/tmp: what lies deeper could be another user's
    to swap."""
    return f"/var/tmp/dsr1-jit-{os.geteuid()}"


def cache_readers() -> Iterator[Reader]:
    yield "cache.root", "/var/tmp, uid", cache_root
