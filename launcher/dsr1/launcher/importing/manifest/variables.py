"""Which variables a recipe takes over: not those that dsr1 sets itself, nor those that nothing
reads any more."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from dsr1.env.retired import VARIABLES as RETIRED
from dsr1.hosts.errors import InputError
from dsr1.launcher.importing.manifest.command import Argument, Program, short, unfit
from dsr1.launcher.importing.manifest.environment import Setting
from dsr1.launcher.importing.manifest.kubernetes import placeholders
from dsr1.launcher.importing.manifest.ledger import Ledger
from dsr1.launcher.importing.manifest.left_out import VARIABLES as LEFT_OUT
from dsr1.launcher.importing.shell.secrecy import is_secret

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
READY = "timeouts.ready"
_CONTAINER_PATHS = ("PATH", "PYTHONPATH", "LD_PRELOAD", "LD_LIBRARY_PATH")
_SPECIAL = {
    "VLLM_ENGINE_READY_TIMEOUT_S": READY,
    "DYN_ROUTER_MODE": "router_mode",
    "DYN_HTTP_PORT": "port",
}


@dataclass(frozen=True, slots=True)
class Taken:
    """`env` is what the recipe says as it is; `retired` and `special` are values with a key of
    their own today."""

    env: dict[str, str] = field(default_factory=dict)
    retired: dict[str, Setting] = field(default_factory=dict)
    special: dict[str, Setting] = field(default_factory=dict)


def with_exports(settings: Mapping[str, Setting], program: Program) -> dict[str, Setting]:
    """What the script exports before it starts the program comes last, so it wins."""
    return {
        **settings,
        **{name: _of_script(name, argument) for name, argument in program.exports.items()},
    }


def _of_script(name: str, argument: Argument) -> Setting:
    if argument.unknown:
        return Setting(
            name, None, argument.places, f"the script: {short(f'{name}={argument.text}')}"
        )
    return Setting(name, argument.text, argument.places)


def sort_settings(settings: Mapping[str, Setting], key: str, source: str, ledger: Ledger) -> Taken:
    """Every variable to where it belongs; `key` is the recipe's key of what these are the variables
    of."""
    taken = Taken()
    for name, setting in settings.items():
        if name in _SPECIAL and setting.value is not None:
            taken.special[_SPECIAL[name]] = setting
        elif name in LEFT_OUT:
            ledger.leave(f"{name}: {LEFT_OUT[name]}", *setting.places)
        elif wish := _wish(setting):
            ledger.ask(wish, f"{key}.env", *setting.places)
        elif name in RETIRED:
            _retire(name, setting, taken, ledger)
        else:
            taken.env[name] = _checked(name, setting, source)
            ledger.use(f"{key}.env.{name}", *setting.places)
    return taken


def _wish(setting: Setting) -> str:
    """What a user is asked for in place of a value that no recipe can take over; nothing where it
    can."""
    name, value = setting.name, setting.value
    if value is None:
        return f"{name}: set it on the hosts; its value is {setting.origin}"
    if is_secret(name, value):
        return f"{name}: a secret, which is not copied into a recipe"
    if placeholders(value):
        return f"{name}={short(value)}: what it stands for is not in the manifest"
    if name in _CONTAINER_PATHS:
        return (
            f"{name}={short(value)}: paths of the container; set those of the hosts if they"
            " need any"
        )
    return ""


def _retire(name: str, setting: Setting, taken: Taken, ledger: Ledger) -> None:
    successor = RETIRED[name]
    if successor.key:
        taken.retired[name] = setting
    elif successor.is_needless:
        ledger.leave(f"{name} is no longer read. {successor.advice}", *setting.places)
    else:
        text = f"{name}={short(setting.value or '')} is no longer read; today: {successor.advice}"
        ledger.ask(text, "", *setting.places)


def _checked(name: str, setting: Setting, source: str) -> str:
    value, place = setting.value or "", setting.places[0]
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{source}:{place.line}: {place}: {name!r} can't be the name of a variable on a host"
        )
    if why := unfit(value):
        raise InputError(
            f"{source}:{place.line}: {place}: {name} has {why}, which no process can be given"
        )
    return value
