"""Which variables a recipe takes over: not those that dsr1 sets itself, nor those that nothing
reads any more."""

import re
from collections.abc import Mapping
from dataclasses import field

from dsr1.env.retired import VARIABLES as RETIRED
from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.importing.manifest.environment import ContainerVariable
from dsr1.launcher.importing.manifest.kubernetes import placeholders, unfit
from dsr1.launcher.importing.manifest.ledger import Ledger
from dsr1.launcher.importing.manifest.left_out import VARIABLES as LEFT_OUT
from dsr1.launcher.importing.manifest.program import ContainerArgument, Program
from dsr1.launcher.importing.manifest.tree import refuse
from dsr1.launcher.importing.shell.secrecy import is_secret, quoted

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
READY = "timeouts.ready"
_CONTAINER_PATHS = ("PATH", "PYTHONPATH", "LD_PRELOAD", "LD_LIBRARY_PATH")
_SPECIAL = {
    "VLLM_ENGINE_READY_TIMEOUT_S": READY,
    "DYN_ROUTER_MODE": "router_mode",
    "DYN_HTTP_PORT": "port",
}


@dataclass(frozen=True, slots=True)
class SortedVariables:
    """`env` goes into the recipe as it is; `retired` and `special` are values with a key of
    their own today."""

    env: dict[str, str] = field(default_factory=dict)
    retired: dict[str, ContainerVariable] = field(default_factory=dict)
    special: dict[str, ContainerVariable] = field(default_factory=dict)


def with_exports(
    variables: Mapping[str, ContainerVariable], program: Program, ledger: Ledger
) -> dict[str, ContainerVariable]:
    """What the script exports and unsets before it starts the program comes last, so it wins."""
    result = dict(variables)
    for name, argument in program.exports.items():
        if name in result:
            verb = "unsets it" if argument is None else "sets it anew"
            ledger.leave(f"{name}: the script {verb}", *result.pop(name).places)
        if argument is not None:
            result[name] = _of_script(name, argument)
    return result


def _of_script(name: str, argument: ContainerArgument) -> ContainerVariable:
    if not argument.unknown:
        return ContainerVariable(name, argument.text, argument.places)
    origin = f"decided by the script: {quoted(f'{name}={argument.text}')}"
    return ContainerVariable(name, None, argument.places, origin)


def sort_variables(
    variables: Mapping[str, ContainerVariable], key: str, ledger: Ledger
) -> SortedVariables:
    """Every variable to where it belongs; `key` is the recipe's key of what these are the variables
    of."""
    result = SortedVariables()
    for name, variable in variables.items():
        if name in _SPECIAL and variable.value is not None:
            result.special[_SPECIAL[name]] = variable
        elif name in LEFT_OUT:
            ledger.leave(f"{name}: {LEFT_OUT[name]}", *variable.places)
        elif request := _request(variable):
            ledger.ask(request, f"{key}.env", *variable.places)
        elif name in RETIRED:
            _retire(variable, result, ledger)
        else:
            result.env[name] = _checked(variable)
            ledger.use(f"{key}.env.{name}", *variable.places)
    return result


def _request(variable: ContainerVariable) -> str:
    """What the user must do where no recipe can take the value over; nothing where it can."""
    name, value = variable.name, variable.value
    if value is None:
        return f"{name}: set it on the hosts; its value is {variable.origin}"
    if is_secret(name, value):
        return f"{name}: a secret, which is not copied into a recipe"
    if placeholders(value):
        return f"{name}={quoted(value)}: what it stands for is not in the manifest"
    if name in _CONTAINER_PATHS:
        return f"{name}={quoted(value)}: paths of the container; set the hosts' own if needed"
    return ""


def _retire(variable: ContainerVariable, result: SortedVariables, ledger: Ledger) -> None:
    name, successor = variable.name, RETIRED[variable.name]
    if successor.key:
        result.retired[name] = variable
    elif successor.is_needless:
        ledger.leave(f"{name} is no longer read. {successor.advice}", *variable.places)
    else:
        text = f"{name}={quoted(variable.value or '')} is no longer read; today: {successor.advice}"
        ledger.ask(text, "", *variable.places)


def _checked(variable: ContainerVariable) -> str:
    name, value, place = variable.name, variable.value or "", variable.places[0]
    if not _NAME.fullmatch(name):
        refuse(place, f"{name!r} can't be the name of an environment variable on a host")
    if why := unfit(value):
        refuse(place, f"{name} has {why}, which no process can be given")
    return value
