"""What a runtime answered on the hosts of one test, for those of the next: else every new host
imports vLLM once more, to be told the same."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.hosts import Cluster
from tests.cluster.layout import USERS

from dsr1.hosts.agent.runtime.runtime import KeptAnswers
from dsr1.hosts.protocol.atomic import write_file
from dsr1.hosts.protocol.plain import parse_json, to_json

USER = "launch"
BASE = f"/tmp/dsr1-{USERS[USER]}"


@contextmanager
def answers_known(cluster: Cluster, store: Path) -> Iterator[None]:
    """Its hosts begin with all that is in `store`, and add to it at the end; a host that boots
    anew has to ask."""
    for name in cluster.boxes:
        _give(cluster.path(name, BASE), store)
    yield
    for name, box in cluster.boxes.items():
        if box.up:
            with contextlib.suppress(OSError):  # a test may have removed or filled what it liked
                _take(cluster.path(name, BASE) / "runtime", store)


def _give(base: Path, store: Path) -> None:
    """Folders as an agent makes them."""
    for folder in (base, base / "runtime"):
        folder.mkdir(mode=0o700)
        os.chown(folder, USERS[USER], USERS[USER])
    for file in store.glob("*.json"):
        given = base / "runtime" / file.name
        write_file(given, file.read_bytes())
        os.chown(given, USERS[USER], USERS[USER])


def _take(folder: Path, store: Path) -> None:
    """Other test processes do so, too."""
    with (store / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for file in folder.glob("*.json"):
            new, known = _read(file), _read(store / file.name)
            knowledge = known.knowledge or new.knowledge
            joined = KeptAnswers(knowledge, known.accepted | new.accepted)
            if joined != known:
                write_file(store / file.name, to_json(joined))


def _read(file: Path) -> KeptAnswers:
    try:
        return parse_json(KeptAnswers, file.read_bytes())
    except (OSError, ValueError):
        return KeptAnswers()
