"""Facts of the model on this host: its files, what downloads left, and the file system that it is
read from."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from dsr1.hosts.agent.facts.model.shards import (
    ModelFile,
    find_folder,
    hub_cache,
    leftovers,
    list_model_files,
)
from dsr1.hosts.agent.facts.reading.files import read
from dsr1.hosts.agent.facts.reading.mounts import file_system_of
from dsr1.hosts.protocol.bounded import parse_bounded
from dsr1.hosts.protocol.facts.fact import FactValue, Reader, reason_of

MOST_PROBLEMS = 8


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


def draft_readers(drafts: Sequence[str]) -> Iterator[Reader]:
    """By model: its folder, and what is wrong with its files."""
    yield "model.drafts", ", ".join(drafts), lambda: {one: _draft(one) for one in drafts}


def _draft(model: str) -> FactValue:
    try:
        folder = _folder(model)
        files = list_model_files(folder)
    except OSError as error:
        return {"folder": "", "problems": [reason_of(error)]}
    wrong = {name: _wrong(file) for name, file in files.items()}
    problems: list[FactValue] = [f"{name}: {words}" for name, words in wrong.items() if words]
    if "config.json" not in files:
        problems.append("config.json is not there")
    return {"folder": str(folder), "problems": problems[:MOST_PROBLEMS]}


def _wrong(file: ModelFile) -> str:
    """Empty: it is whole, as far as its own header tells."""
    if file.problem or file.wanted is None or file.wanted == file.size:
        return file.problem
    return f"{file.size} bytes, {file.wanted} by its header"


def _folder(model: str) -> Path:
    """OSError: it isn't there, or no folder, or shut."""
    folder = find_folder(model, os.environ) if model else Path("/nothing-was-asked-for")
    os.scandir(folder).close()
    return folder


def _files(folder: Path) -> FactValue:
    return {name: asdict(file) for name, file in list_model_files(folder).items()}
