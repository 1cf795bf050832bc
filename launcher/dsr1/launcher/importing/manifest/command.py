"""A container's command and arguments, in any of their forms, to the program that it runs and its
arguments."""

import re
from collections.abc import Mapping, Sequence

from dsr1.launcher.importing.manifest.kubernetes import expand_kubernetes, placeholders, unfit
from dsr1.launcher.importing.manifest.ledger import Ledger
from dsr1.launcher.importing.manifest.program import (
    ContainerArgument,
    Program,
    base_name,
    places_of,
    program_of,
)
from dsr1.launcher.importing.manifest.script_program import program_of_script, read_commands
from dsr1.launcher.importing.manifest.tree import (
    YamlList,
    YamlMapping,
    YamlText,
    YamlValue,
    refuse,
)

_SHELLS = ("sh", "bash", "dash", "ash", "zsh")


def read_program(
    container: YamlMapping, variables: Mapping[str, str], default: str, ledger: Ledger
) -> Program:
    """`default` is what the container runs where the manifest doesn't say. Raises InputError that
    names the place, for a script that can't be read or that starts several programs."""
    command = _arguments(container.get("command"), variables, ledger)
    args = _arguments(container.get("args"), variables, ledger)
    argv = (*command, *args)
    for argument in argv:
        if why := unfit(argument.text):
            refuse(argument.places[0], f"{why}, which no process can be given")
    if not argv or (not command and args[0].text.startswith("-") and args[0].text != "-m"):
        return Program(default, args)
    script = _script_at(argv)
    if script is None:
        return program_of(argv, ledger)
    if argv[script].text.startswith("--"):
        text = "a shell got flags in place of a script; they are read as the worker's"
        ledger.rewrite(text, "", *places_of(argv))
        return Program(default, argv[script:])
    ledger.use("stack", *places_of(argv[:script]))
    return program_of_script(argv[script:], variables, default, ledger)


def _arguments(
    value: YamlValue | None, variables: Mapping[str, str], ledger: Ledger
) -> tuple[ContainerArgument, ...]:
    """A list of texts; or one text, which Kubernetes would refuse and which is split as a shell
    would."""
    if isinstance(value, YamlText):
        text = "one text where Kubernetes wants a list; it is split as a shell would"
        ledger.rewrite(text, "", value.place)
        commands = read_commands(ContainerArgument(value.text, (value.place,)), (), variables)
        words = [word for command in commands for word in command.words]
        return tuple(ContainerArgument(w.text, (value.place,), w.unknown) for w in words)
    items = value.values if isinstance(value, YamlList) else ()
    return tuple(_argument(item, variables) for item in items if isinstance(item, YamlText))


def _argument(item: YamlText, variables: Mapping[str, str]) -> ContainerArgument:
    try:
        text = expand_kubernetes(item.text, variables)
    except ValueError as error:
        refuse(item.place, str(error))
    return ContainerArgument(text, (item.place,), placeholders(text), item.first_line)


def _script_at(argv: Sequence[ContainerArgument]) -> int | None:
    """Where the script of `sh -c SCRIPT` stands."""
    if base_name(argv[0].text) not in _SHELLS:
        return None
    for index, argument in enumerate(argv[1:-1], start=1):
        if re.fullmatch(r"-[a-z]*c", argument.text):
            return index + 1
    return None
