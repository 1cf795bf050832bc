"""The program of a container: its name, its arguments and what a script exported for it. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import field

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.importing.manifest.ledger import Ledger
from dsr1.launcher.importing.manifest.tree import Place
from dsr1.launcher.importing.shell.secrecy import conceal_words, quoted

BEFORE_A_COMMAND = ("exec", "nohup", "time", "command", "env")
MODULE = re.compile(r"(dynamo|vllm|sglang|tensorrt_llm)(\.|\Z)")


@dataclass(frozen=True, slots=True)
class ContainerArgument:
    """One argument of the program. `unknown` are expansions that only a shell could make; a script
    starts at `line`."""

    text: str
    places: tuple[Place, ...]
    unknown: tuple[str, ...] = ()
    line: int = 0


@dataclass(frozen=True, slots=True)
class Program:
    """What a container runs: a Python module (dynamo.vllm) or a command, what follows it, and the
    variables that a script exports before (None: that it unsets)."""

    name: str
    arguments: tuple[ContainerArgument, ...] = ()
    exports: Mapping[str, ContainerArgument | None] = field(default_factory=dict)


def places_of(arguments: Sequence[ContainerArgument]) -> tuple[Place, ...]:
    return tuple(place for argument in arguments for place in argument.places)


def base_name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def program_of(argv: Sequence[ContainerArgument], ledger: Ledger) -> Program:
    """The module after -m, or the command itself; a wrapper in front of Python is noted."""
    at = _name_at(argv)
    texts = [base_name(argument.text) for argument in argv[:at]]
    python = next((i for i, text in enumerate(texts) if text.startswith("python")), at)
    wrapper = [word for word in argv[:python] if word.text not in BEFORE_A_COMMAND]
    _leave(wrapper, "a wrapper around the program", ledger)
    _leave(argv[python + 1 : at - 1], "options of the interpreter", ledger)
    ledger.use("stack", *places_of(argv[: at + 1]))
    return Program(argv[at].text, tuple(argv[at + 1 :]))


def _leave(words: Sequence[ContainerArgument], what: str, ledger: Ledger) -> None:
    if words:
        text = quoted(conceal_words([word.text for word in words]))
        ledger.leave(f"{text}: {what}, which dsr1 starts without", *places_of(words))


def _name_at(argv: Sequence[ContainerArgument]) -> int:
    modules = [i + 1 for i, argument in enumerate(argv[:-1]) if argument.text == "-m"]
    known = [i for i in modules if MODULE.match(argv[i].text)]
    commands = [i for i, argument in enumerate(argv) if argument.text not in BEFORE_A_COMMAND]
    return next(iter((*known, *modules, *commands)), 0)
