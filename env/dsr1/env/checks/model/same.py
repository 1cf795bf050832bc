"""Whether the model's files are the same on all hosts."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from dsr1.env.checks.comparing import CompareFunction, FactsOfHosts
from dsr1.env.checks.judging import NONSENSE, UnknownFact, Verdict, known_or, skipped
from dsr1.env.checks.model.files import files_of
from dsr1.hosts.inventory.names import name_few
from dsr1.hosts.protocol.facts.fact import Facts

NOTHING = "nothing"
SAME_FILES = "the same files as on most hosts"
Signatures = Mapping[str, str]
"""By file: its size, and the beginning of its hash where it was hashed."""


def same_files(facts_by_host: FactsOfHosts) -> dict[str, Verdict]:
    """Names, sizes and the small files' contents, and the shards' too where they were hashed."""
    signatures = {host: _signatures(facts) for host, facts in facts_by_host.items()}
    usual = _usual([files for files in signatures.values() if files is not None])
    return {host: _judge(files, usual) for host, files in signatures.items()}


def _judge(files: Signatures | None, usual: Signatures) -> Verdict:
    if files is None:
        return skipped("the model can't be read on this host")
    names = sorted({*usual, *files})
    different = [
        f"{name}: {files.get(name, NOTHING)}, {usual.get(name, NOTHING)} on most"
        for name in names
        if files.get(name, NOTHING) != usual.get(name, NOTHING)
    ]
    if not different:
        return Verdict("PASS", f"{len(files)} files, {_digest(files)}", SAME_FILES)
    fix = "`dsr1 model push` from a host that has it whole copies what differs."
    return Verdict("FAIL", name_few(different), SAME_FILES, fix)


def _signatures(facts: Facts) -> Signatures | None:
    try:
        files, hashed = files_of(facts), known_or(facts, "model.hashes", {})
        return {name: _signature(file, hashed.get(name, "")) for name, file in files.items()}
    except (UnknownFact, *NONSENSE):
        return None


def _signature(file: Mapping[str, Any], hashed: str) -> str:
    digest = hashed or file["digest"]
    size = NOTHING if file["size"] is None else f"{file['size']} bytes"
    return f"{size} {digest[:12]}" if digest else size


def _usual(readings: list[Signatures]) -> Signatures:
    """What most hosts have of every file; of equally frequent ones the first by name, so that it is
    the same every time."""
    names = {name for files in readings for name in files}
    return {name: _most_frequent(files.get(name, NOTHING) for files in readings) for name in names}


def _most_frequent(values: Iterable[str]) -> str:
    found = sorted(values)
    return max(dict.fromkeys(found), key=found.count)


def _digest(files: Signatures) -> str:
    text = "\n".join(f"{name} {signature}" for name, signature in sorted(files.items()))
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:8]


TOGETHER: dict[str, CompareFunction] = {"model.same": same_files}
