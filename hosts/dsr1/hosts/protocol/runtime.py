"""What a host's runtime is asked, and what it answers: variables and flags that it knows, whether
it takes commands.
"""

from dsr1.hosts.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A process's command: `module` is what `python -m` runs, `argv` what follows it, `env` pairs
    of name and value."""

    name: str
    module: str
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RuntimeQuestion:
    """`python` runs the runtime's Python, setup lines included; `model` is the model's folder or
    hub id.

    `modules` are those whose flags are asked for; the variables are asked for when `variables` is
    set.
    """

    python: tuple[str, ...]
    model: str
    modules: tuple[str, ...]
    commands: tuple[CommandLine, ...] = ()
    variables: bool = True
    timeout_s: float = 150.0


@dataclass(frozen=True, slots=True)
class FlagChoices:
    """A flag that takes some words and no others."""

    flag: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FlagParser:
    """The flags that a module takes, with their dashes. `problem`: why it couldn't be asked; then
    there are none."""

    module: str
    flags: tuple[str, ...] = ()
    choices: tuple[FlagChoices, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CommandVerdict:
    """`verdict`: accepted, refused or unknown; `text` is why, in the runtime's own words."""

    name: str
    verdict: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class RuntimeAnswer:
    """`vllm` and `dynamo` are versions, empty where it isn't installed. `problem`: why something is
    missing."""

    vllm: str = ""
    dynamo: str = ""
    variables: tuple[str, ...] = ()
    parsers: tuple[FlagParser, ...] = ()
    load_formats: tuple[str, ...] = ()
    verdicts: tuple[CommandVerdict, ...] = ()
    problem: str = ""
