"""Asks this host's runtime, in a child that always ends, and keeps what it told: an import of vLLM
takes seconds."""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from dsr1.hosts.agent.network.ports import open_folder
from dsr1.hosts.agent.process.bounded_child import is_abandoned, start_bounded, wait_bounded
from dsr1.hosts.protocol.atomic import write_file
from dsr1.hosts.protocol.plain import from_plain
from dsr1.hosts.protocol.runtime import CommandLine, CommandVerdict, RuntimeAnswer, RuntimeQuestion

MODULES_FROM = str(Path(__file__).parents[4])  # the bundle, or the folder of the sources
CHILD = (
    f"import sys; sys.path[:0] = [{MODULES_FROM!r}]; from dsr1.hosts.agent.runtime.child import"
    " main; main()"
)
# An update in place changes one of these at least; a whole new version also changes its number.
WITNESSES = {
    "vllm": ("envs.py", "engine/arg_utils.py"),
    "dynamo": ("vllm/args.py", "frontend/frontend_args.py"),
}
PACKAGES = ("vllm", "ai-dynamo", "ai-dynamo-runtime", "torch")
MOST_FILES, MOST_SAID = 16, 1024


def base_folder() -> Path:
    """The agent's own, for this user alone."""
    return Path(f"/tmp/dsr1-{os.geteuid()}")


def ask_runtime(question: RuntimeQuestion, base: Path) -> RuntimeAnswer:
    """From what is kept as far as that goes; the child is asked for the rest alone."""
    kept = AnswerCache(base, question)
    fresh = [command for command in question.commands if kept.said(command) is None]
    if kept.knowledge is None or fresh:
        modules = question.modules if kept.knowledge is None else ()
        variables = question.variables and kept.knowledge is None
        told = ask_child(
            replace(question, commands=tuple(fresh), modules=modules, variables=variables)
        )
        kept.learn(told, fresh)
        return _joined(kept, told, question)
    return _joined(kept, RuntimeAnswer(), question)


def _joined(kept: "AnswerCache", told: RuntimeAnswer, question: RuntimeQuestion) -> RuntimeAnswer:
    """What was kept and what was just told, in the order that was asked; nothing told is unknown,
    with the reason."""
    fresh = {said.name: said for said in told.said}
    missing = told.problem or "the runtime's child ended before it came to this"
    said = (
        kept.said(one) or fresh.get(one.name) or CommandVerdict(one.name, "unknown", missing)
        for one in question.commands
    )
    known = kept.knowledge or told
    vllm, dynamo = _version("vllm"), _version("ai-dynamo")
    return replace(known, said=tuple(said), problem=told.problem, vllm=vllm, dynamo=dynamo)


class AnswerCache:
    """A file for each runtime, in a folder of ours alone; one that can't be read or written is as
    good as none."""

    def __init__(self, base: Path, question: RuntimeQuestion) -> None:
        self._folder = base / "runtime"
        self._file = self._folder / f"{_digest(identity(question))}.json"
        self._config = _stamp(Path(question.model) / "config.json")
        self._ours = _is_ours(base) and _is_ours(self._folder)
        plain = self._read() if self._ours else {}
        self.knowledge = _knowledge(plain.get("knowledge"))
        self._said = {str(key): value for key, value in plain.get("said", {}).items()}

    def said(self, command: CommandLine) -> CommandVerdict | None:
        found = self._said.get(self._key(command))
        return (
            CommandVerdict(command.name, str(found[0]), str(found[1]))
            if isinstance(found, list) and len(found) == 2
            else None
        )

    def learn(self, told: RuntimeAnswer, asked: list[CommandLine]) -> None:
        """Only what lasts: a refusal may be of a host that is mended the next time, and who meets
        one has the time."""
        verdicts = {
            said.name: [said.verdict, said.text] for said in told.said if said.verdict == "accepted"
        }
        self._said |= {self._key(one): verdicts[one.name] for one in asked if one.name in verdicts}
        whole = (
            not told.problem and told.parsers and not any(parser.problem for parser in told.parsers)
        )
        self.knowledge = self.knowledge or (replace(told, said=()) if whole else None)
        known = asdict(self.knowledge) if self.knowledge else None
        if self._ours:
            with contextlib.suppress(OSError):
                self._write(
                    {"knowledge": known, "said": dict(list(self._said.items())[-MOST_SAID:])}
                )

    def _key(self, command: CommandLine) -> str:
        return _digest([self._config, command.module, command.argv, command.env])

    def _read(self) -> dict[str, Any]:
        try:
            plain = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return {}
        return plain if isinstance(plain, dict) and isinstance(plain.get("said"), dict) else {}

    def _write(self, plain: object) -> None:
        write_file(self._file, json.dumps(plain).encode())
        for old in sorted(self._folder.glob("*.json"), key=lambda file: file.stat().st_mtime)[
            :-MOST_FILES
        ]:
            old.unlink(missing_ok=True)


def _is_ours(folder: Path) -> bool:
    """It is made when it isn't there. What somebody else could have put into it is neither read nor
    added to."""
    try:
        os.close(open_folder(folder))
    except OSError:
        return False
    return True


def _knowledge(plain: object) -> RuntimeAnswer | None:
    try:
        told: RuntimeAnswer | None = from_plain(RuntimeAnswer, plain) if plain else None
    except ValueError:
        return None
    return told


def identity(question: RuntimeQuestion) -> list[object]:
    """What makes a runtime this one: its Python, its versions, where they lie and when they were
    put there."""
    versions = [(name, _version(name)) for name in PACKAGES]
    places = [(str(file), _stamp(file)) for file in version_files()]
    asker = Path(MODULES_FROM).name  # the bundle's name says its content, wherever it lies
    return [
        asker,
        sys.version,
        question.python,
        question.modules,
        question.variables,
        versions,
        places,
    ]


def version_files() -> Iterator[Path]:
    for package, files in WITNESSES.items():
        found = importlib.util.find_spec(package)
        for place in (found.submodule_search_locations or ()) if found else ():
            yield from (Path(place) / file for file in files)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _stamp(file: Path) -> list[int]:
    try:
        seen = file.stat()
    except OSError:
        return []
    return [seen.st_size, seen.st_mtime_ns]


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:32]


def ask_child(question: RuntimeQuestion) -> RuntimeAnswer:
    """What it told until it ended; `problem` says why when that isn't all."""
    env = {**dict(question.commands[0].env if question.commands else ()), **OFFLINE}
    with start_bounded(
        (*question.python, "-c", CHILD), env, json.dumps(asdict(question)).encode()
    ) as child:
        (ended,) = wait_bounded([child], question.timeout_s, is_abandoned)
        if not ended:
            return collect(child.lines(), f"no answer in {question.timeout_s:.0f} s")
        return collect(child.lines(), child.last_line() if child.process.returncode else "")


OFFLINE: Mapping[str, str] = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
}  # nothing is fetched to be judged


def collect(lines: list[dict[str, Any]], problem: str) -> RuntimeAnswer:
    """From the child's lines; one that isn't as it tells them spoils all."""
    told: dict[str, Any] = {"parsers": [], "said": []}
    for kind, value in (item for line in lines for item in line.items()):
        told[kind] = [*told[kind], value] if kind in ("parsers", "said") else value
    try:
        answer: RuntimeAnswer = from_plain(RuntimeAnswer, {**told, "problem": problem})
    except ValueError as error:
        return RuntimeAnswer(problem=problem or f"it tells what this dsr1 doesn't know: {error}")
    return answer
