"""Facts of the model on this host: its files, what downloads left, and the file system that it is
read from."""

import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from dsr1.hosts.agent.facts.model.shards import find_folder, hub_cache, leftovers, list_model_files
from dsr1.hosts.agent.facts.reading.files import read
from dsr1.hosts.agent.facts.reading.mounts import file_system_of
from dsr1.hosts.protocol.bounded import parse_bounded
from dsr1.hosts.protocol.facts.fact import FactValue, Reader


def model_readers(model: str, root: Path) -> Iterator[Reader]:
    """`model` is a folder or a hub's id, which is looked up in the hub's cache."""
    mounts, cache = root / "proc/self/mountinfo", hub_cache(os.environ)
    yield "model.folder", model, lambda: str(_folder(model))
    yield (
        "model.config",
        f"{model}/config.json",
        lambda: parse_bounded(read(_folder(model) / "config.json")),
    )
    yield "model.files", model, lambda: _files(_folder(model))
    yield "model.leftovers", model, lambda: list[FactValue](leftovers(_folder(model)))
    yield "model.fs", str(mounts), lambda: file_system_of(_folder(model), mounts)
    yield "hub.cache", str(cache), lambda: {"path": str(cache), **file_system_of(cache, mounts)}


def _folder(model: str) -> Path:
    """OSError: it isn't there, or no folder, or shut."""
    folder = find_folder(model, os.environ) if model else Path("/nothing-was-asked-for")
    os.scandir(folder).close()
    return folder


def _files(folder: Path) -> FactValue:
    return {name: asdict(file) for name, file in list_model_files(folder).items()}
