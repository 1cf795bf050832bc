"""The program that a container's shell script starts, with the variables that it exports."""

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from dsr1.launcher.importing.manifest.ledger import Ledger
from dsr1.launcher.importing.manifest.program import (
    BEFORE_A_COMMAND,
    MODULE,
    ContainerArgument,
    Program,
    base_name,
    places_of,
    program_of,
)
from dsr1.launcher.importing.manifest.script_notes import (
    OF_THE_SCRIPT,
    ScriptLocation,
    note_commands,
)
from dsr1.launcher.importing.manifest.tree import Place, refuse
from dsr1.launcher.importing.shell.script import DECLARATIONS, read_script
from dsr1.launcher.importing.shell.secrecy import quoted
from dsr1.launcher.importing.shell.words import (
    ShellCommand,
    VariableChange,
    Word,
    assignment,
    word_texts,
)

_PROGRAMS = ("vllm", "vllm-rs", "dynamo-vllm-sidecar", "dynamo-run", "sglang", "trtllm-serve")


def program_of_script(
    argv: Sequence[ContainerArgument], variables: Mapping[str, str], default: str, ledger: Ledger
) -> Program:
    """`argv` is the script and its own arguments, from $0 on. Raises InputError that names the
    place."""
    script, arguments = argv[0], argv[1:]
    commands = read_commands(script, arguments, variables)
    chosen = _choose(commands, default, script.places[0])
    commands = _settled(commands, chosen)
    takes_arguments = bool(re.search(r"\$[@*{0-9]", script.text))
    if arguments and not takes_arguments:
        text = "arguments of a script that takes none; in Kubernetes they have no effect"
        ledger.leave(text, *places_of(arguments))
    location = ScriptLocation(script.line, places_of(argv if takes_arguments else argv[:1]))
    note_commands(commands, chosen, variables, location, ledger)
    if chosen is None:
        return Program(quoted(commands[-1].text if commands else ""))
    prefix, words = _apart(_unfolded(chosen.words, location, ledger))
    exports = _exports(commands, chosen, variables, location)
    for name, text, word in prefix:
        exports[name] = ContainerArgument(text, location.places(word), word.unknown)
    own = [ContainerArgument(word.text, location.places(word), word.unknown) for word in words]
    if not own:  # nothing but variables and words such as exec
        return Program(quoted(chosen.text))
    return replace(program_of(own, ledger), exports=exports)


def read_commands(
    script: ContainerArgument,
    arguments: Sequence[ContainerArgument],
    variables: Mapping[str, str],
) -> tuple[ShellCommand, ...]:
    words = [Word(argument.text, 0, argument.unknown) for argument in arguments]
    try:
        return read_script(script.text, variables, words)
    except ValueError as error:
        refuse(script.places[0], f"the script can't be read: {error}")


def _choose(commands: Sequence[ShellCommand], default: str, place: Place) -> ShellCommand | None:
    """The one command that starts a program; of several the one that starts the `default`."""
    programs = [command for command in commands if _is_program(command)]
    if len(programs) > 1:
        named = [command for command in programs if default in word_texts(command.words)]
        programs = named or programs
    if len(programs) > 1:
        found = ", ".join(quoted(command.text) for command in programs)
        text = f"the script starts {len(programs)} programs ({found}); an engine has only one"
        refuse(place, text)
    return programs[0] if programs else _last_command(commands)


def _last_command(commands: Sequence[ShellCommand]) -> ShellCommand | None:
    for command in reversed(commands):
        if command.words and command.words[0].text not in DECLARATIONS:
            return command
    return None


def _is_program(command: ShellCommand) -> bool:
    words = word_texts(command.words)
    first = next((word for word in words if word not in BEFORE_A_COMMAND), "")
    if first in OF_THE_SCRIPT:  # printf '%q ' python3 -m dynamo.vllm
        return False
    starts_module = any(a == "-m" and MODULE.match(b) for a, b in pairwise(words))
    return starts_module or base_name(first) in _PROGRAMS


def _apart(words: Sequence[Word]) -> tuple[list[tuple[str, str, Word]], list[Word]]:
    """The assignments in front of a command, and its own words."""
    prefix = []
    for number, word in enumerate(words):
        pair = assignment(word)
        if pair:
            prefix.append((*pair, word))
        elif word.text not in BEFORE_A_COMMAND:
            return prefix, list(words[number:])
    return prefix, []


def _unfolded(words: Sequence[Word], location: ScriptLocation, ledger: Ledger) -> Sequence[Word]:
    """A folded text (>) makes a space of each line's end, and a \\ before it part of the next
    flag's name."""
    folded = [word for word in words if _is_folded(word)]
    if folded:
        text = (
            "a \\ at the end of a line that YAML folds (>) would be part of the next flag; it is"
            " read as a line's end"
        )
        ledger.rewrite(text, "", *location.places(folded[0]))
    return [replace(word, text=word.text.lstrip()) if _is_folded(word) else word for word in words]


def _is_folded(word: Word) -> bool:
    return word.text[:1] == " " and word.text.lstrip()[:1] == "-"


def _settled(
    commands: Sequence[ShellCommand], chosen: ShellCommand | None
) -> tuple[ShellCommand, ...]:
    """What the program itself waits for with && has run, where the program runs."""
    settled: list[ShellCommand] = []
    leads = False
    for command in reversed(commands):
        leads = command is chosen or (leads and command.operator == "&&")
        has_run = leads and command is not chosen and command.condition == "&&"
        settled.append(replace(command, condition="") if has_run else command)
    return tuple(reversed(settled))


def _exports(
    commands: Sequence[ShellCommand],
    chosen: ShellCommand,
    environment: Container[str],
    location: ScriptLocation,
) -> dict[str, ContainerArgument | None]:
    """What the program's environment gets from the script: a variable that is in it already keeps
    being exported."""
    exports: dict[str, ContainerArgument | None] = {}
    for command in commands[: commands.index(chosen)]:
        lasts = not command.runs_apart and command.subshell in (0, chosen.subshell)
        for change in command.changes if lasts else ():
            if change.exported or change.name in environment or change.name in exports:
                exports[change.name] = _exported(change, command, location)
    return exports


def _exported(
    change: VariableChange, command: ShellCommand, location: ScriptLocation
) -> ContainerArgument | None:
    """Nobody knows a variable that a condition decides on."""
    if change.value is None and not command.condition:
        return None
    value = change.value or Word("", command.words[0].line)
    unknown = (*value.unknown, command.text) if command.condition else value.unknown
    return ContainerArgument(value.text, location.places(value), unknown)
