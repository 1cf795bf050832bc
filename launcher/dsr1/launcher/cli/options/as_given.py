"""Values that need no conversion are taken as they are: typer loads pydantic to tell that a string
is one, which was a quarter of what `dsr1 ps` takes."""

import inspect
from types import UnionType
from typing import Any, get_args

from typer.core import TyperCommand

from dsr1.launcher.cli.options.bundles import VerbFunction

PLAIN = (str, int, float)


class QuickCommand(TyperCommand):
    """Its help option is made by typer, late."""

    def get_params(self, ctx: Any) -> list[Any]:
        return take_absent(super().get_params(ctx))


def take_absent(parameters: list[Any]) -> list[Any]:
    """The same ones, which now need no conversion of what isn't given."""
    for parameter in parameters:
        if "process_value" not in vars(parameter):
            _shorten(parameter, ())
    return parameters


def take_as_given(command: Any, verb: VerbFunction) -> Any:
    """The same command; `verb` is the function that it was made of."""
    declared = inspect.signature(verb).parameters
    for parameter in command.params:
        if parameter.name in declared:
            _shorten(parameter, plain_kinds(declared[parameter.name].annotation))
    return command


def plain_kinds(annotation: Any) -> tuple[type, ...]:
    """Values of which types are as they should be; those of others typer has to convert."""
    kind, *given = get_args(annotation) or (annotation,)
    if any(getattr(one, name, None) for one in given for name in ("parser", "click_type")):
        return ()
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    return tuple(one for one in kinds if one in PLAIN)


def _shorten(parameter: Any, kinds: tuple[type, ...]) -> None:
    convert, several = parameter.process_value, parameter.multiple or parameter.nargs == -1

    def process_value(ctx: Any, value: Any) -> Any:
        absent = value is None and not parameter.required
        if not absent and (several or type(value) not in kinds):
            return convert(ctx, value)
        taken = () if absent and several else value
        return parameter.callback(ctx, parameter, taken) if parameter.callback else taken

    parameter.process_value = process_value
