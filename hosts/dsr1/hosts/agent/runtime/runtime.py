"""Asks this host's runtime, in a child that always ends, and keeps its answers: an import of vLLM
takes seconds."""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from dsr1.hosts.agent.network.ports import open_folder
from dsr1.hosts.agent.process.bounded_child import is_abandoned, start_bounded, wait_bounded
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.atomic import write_file
from dsr1.hosts.protocol.plain import from_plain, parse_json, to_json
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
MOST_FILES, MOST_KEPT = 64, 1024


def base_folder() -> Path:
    """The agent's own, for this user alone."""
    return Path(f"/tmp/dsr1-{os.geteuid()}")


def ask_runtime(question: RuntimeQuestion, base: Path) -> RuntimeAnswer:
    """From what is kept as far as that goes; the child is asked for the rest alone."""
    kept = AnswerCache(base, question)
    new = [command for command in question.commands if kept.verdict(command) is None]
    if kept.knowledge is not None and not new:
        return _joined(kept, RuntimeAnswer(), question)
    rest = replace(question, commands=tuple(new))
    if kept.knowledge is not None:
        rest = replace(rest, modules=(), variables=False)
    answer = ask_child(rest)
    kept.learn(answer, new)
    return _joined(kept, answer, question)


def _joined(kept: "AnswerCache", answer: RuntimeAnswer, question: RuntimeQuestion) -> RuntimeAnswer:
    """What was kept and what was just answered, in the order of the question; a command without a
    verdict is unknown, with the reason."""
    new = {verdict.name: verdict for verdict in answer.verdicts}
    missing = answer.problem or "the runtime's child ended before it came to this"
    verdicts = (
        kept.verdict(one) or new.get(one.name) or CommandVerdict(one.name, "unknown", missing)
        for one in question.commands
    )
    return replace(
        kept.knowledge or answer,
        verdicts=tuple(verdicts),
        problem=answer.problem,
        vllm=_version("vllm"),
        dynamo=_version("ai-dynamo"),
    )


class AnswerCache:
    """A file for each runtime, in a folder of ours alone, and the last used of them; one that can't
    be read or written is as good as none."""

    def __init__(self, base: Path, question: RuntimeQuestion) -> None:
        self._folder = base / "runtime"
        self._file = self._folder / f"{_digest(identity(question))}.json"
        self._config = _stamp(Path(question.model) / "config.json")
        self._ours = _is_ours(base) and _is_ours(self._folder)
        kept = self._read() if self._ours else KeptAnswers()
        self.knowledge, self._accepted = kept.knowledge, kept.accepted

    def verdict(self, command: CommandLine) -> CommandVerdict | None:
        text = self._accepted.get(self._key(command))
        return None if text is None else CommandVerdict(command.name, "accepted", text)

    def learn(self, answer: RuntimeAnswer, asked: Sequence[CommandLine]) -> None:
        """Only what lasts: a refusal may be of a host that is mended the next time, and who meets
        one has the time."""
        accepted = {one.name: one.text for one in answer.verdicts if one.verdict == "accepted"}
        for command in asked:
            if command.name in accepted:
                self._accepted[self._key(command)] = accepted[command.name]
        if self.knowledge is None and _is_complete(answer):
            self.knowledge = replace(answer, verdicts=())
        if self._ours and (self.knowledge or self._accepted):
            with contextlib.suppress(OSError):
                self._write()

    def _key(self, command: CommandLine) -> str:
        return _digest([self._config, command.module, command.argv, command.env])

    def _read(self) -> "KeptAnswers":
        try:
            os.utime(self._file)
            return parse_json(KeptAnswers, self._file.read_bytes())
        except (OSError, ValueError):
            return KeptAnswers()

    def _write(self) -> None:
        newest = dict([*self._accepted.items()][-MOST_KEPT:])
        write_file(self._file, to_json(KeptAnswers(self.knowledge, newest)))
        by_age = sorted(self._folder.glob("*.json"), key=lambda file: file.stat().st_mtime)
        for old in by_age[:-MOST_FILES]:
            old.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class KeptAnswers:
    """What the file holds: `accepted` has the text of the verdict by the command's digest."""

    knowledge: RuntimeAnswer | None = None
    accepted: dict[str, str] = field(default_factory=dict)


def _is_complete(answer: RuntimeAnswer) -> bool:
    broken = any(parser.problem for parser in answer.parsers)
    return bool(answer.parsers) and not broken and not answer.problem


def _is_ours(folder: Path) -> bool:
    """It is made when it isn't there. What somebody else could have put into it is neither read nor
    added to."""
    try:
        os.close(open_folder(folder))
    except OSError:
        return False
    return True


def identity(question: RuntimeQuestion) -> list[object]:
    """What makes a runtime this one: its Python, its versions, where they lie and when they were
    put there."""
    versions = [(name, _version(name)) for name in PACKAGES]
    files = [(str(file), _stamp(file)) for file in version_files()]
    bundle = Path(MODULES_FROM).name  # its name says its content, wherever it lies
    asked = [question.python, question.modules, question.variables]
    return [bundle, sys.version, *asked, versions, files]


def version_files() -> Iterator[Path]:
    for package, files in WITNESSES.items():
        found = importlib.util.find_spec(package)
        for folder in (found.submodule_search_locations or ()) if found else ():
            yield from (Path(folder) / file for file in files)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _stamp(file: Path) -> list[int]:
    try:
        status = file.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:32]


def ask_child(question: RuntimeQuestion) -> RuntimeAnswer:
    """Its answers until it ended; `problem` says why these aren't all."""
    env = {**dict(question.commands[0].env if question.commands else ()), **OFFLINE}
    argv = (*question.python, "-c", CHILD)
    with start_bounded(argv, env, to_json(question)) as child:
        (ended,) = wait_bounded([child], question.timeout_s, is_abandoned)
        if not ended:
            return collect(child.lines(), f"no answer in {question.timeout_s:.0f} s")
        return collect(child.lines(), child.last_line() if child.process.returncode else "")


# Nothing is fetched to be judged.
OFFLINE: Mapping[str, str] = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def collect(lines: Iterable[Mapping[str, Any]], problem: str) -> RuntimeAnswer:
    """From the child's lines; one that isn't as it prints them spoils all."""
    answer: dict[str, Any] = {"parsers": [], "verdicts": [], "problem": problem}
    for kind, value in (item for line in lines for item in line.items()):
        if kind in ("parsers", "verdicts"):
            answer[kind].append(value)
        else:
            answer[kind] = value
    try:
        return from_plain(RuntimeAnswer, answer)
    except ValueError as error:
        return RuntimeAnswer(problem=problem or f"unknown answer of the runtime's child: {error}")
