"""Options that several verbs share come as one parameter, a dataclass; typer sees its fields."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from inspect import Parameter

VerbFunction = Callable[..., None]


def spread_bundles(verb: VerbFunction) -> VerbFunction:
    """The same verb with a parameter for each field in place of every dataclass parameter."""
    own = inspect.signature(verb).parameters.values()
    bundles = {one.name: one.annotation for one in own if _is_bundle(one)}
    spread = [parameter for one in own for parameter in _spread(one)]

    @wraps(verb)
    def called(**values: object) -> None:
        made = {
            name: bundle(**{field.name: values.pop(field.name) for field in fields(bundle)})
            for name, bundle in bundles.items()
        }
        verb(**made, **values)

    called.__signature__ = inspect.Signature(spread)  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in spread}
    return called


def _is_bundle(own: Parameter) -> bool:
    return isinstance(own.annotation, type) and is_dataclass(own.annotation)


def _spread(own: Parameter) -> Iterator[Parameter]:
    if not _is_bundle(own):
        yield own.replace(kind=Parameter.KEYWORD_ONLY)
        return
    for field in fields(own.annotation):
        default = Parameter.empty if field.default is MISSING else field.default
        yield Parameter(field.name, Parameter.KEYWORD_ONLY, default=default, annotation=field.type)
