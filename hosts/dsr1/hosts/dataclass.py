"""`dataclass` of the standard library, quick to import: a command, a supervisor or an agent begins
with the classes of all the modules that it loads, a hundred and more.

The library compiles six functions for each frozen class with slots, half a millisecond. Here it is
`__init__` alone, a fifth of that; the others are closures over the fields' names. A class that is
asked for in any other way is the library's; so are `fields`, `replace` and `asdict` for all.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, FrozenInstanceError, fields
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*classes: type, **options: bool) -> Any:
        if classes or options != {"frozen": True, "slots": True}:
            return dataclasses.dataclass(*classes, **options)
        return _make_frozen


__all__ = ["dataclass"]
OURS = ("__init__", "__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__")


def _make_frozen(cls: Any) -> Any:
    if any(name in cls.__dict__ for name in OURS):
        return dataclasses.dataclass(frozen=True, slots=True)(cls)
    cls.__doc__ = cls.__doc__ or cls.__name__  # else the library makes one of the signature
    made: Any = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True)(cls)
    made.__init__ = _compile_init(made)
    made.__eq__, made.__hash__ = _comparison([one.name for one in fields(made) if one.compare])
    made.__getstate__, made.__setstate__, made.__repr__ = _get_state, _set_state, _show
    made.__setattr__, made.__delattr__ = _refuse_to_set, _refuse_to_delete
    return made


def _compile_init(made: Any) -> object:
    """From text, as the library does. A default is known to it by name: no text would give it."""
    known: dict[str, Any] = {"_put": object.__setattr__, "_MISSING": MISSING, "__name__": __name__}
    parameters, lines = ["self"], ["pass"]
    for one in fields(made):
        parameter, value = _parameter(one, known)
        parameters.append(parameter)
        lines.append(f"_put(self, {one.name!r}, {value})")
    if hasattr(made, "__post_init__"):
        lines.append("self.__post_init__()")
    exec(f"def __init__({', '.join(parameters)}):\n " + "\n ".join(lines), known)
    init = known["__init__"]
    init.__qualname__ = f"{made.__qualname__}.__init__"
    init.__annotations__ = {one.name: one.type for one in fields(made)} | {"return": None}
    return init


def _parameter(one: "Field[Any]", known: dict[str, Any]) -> tuple[str, str]:
    """How `__init__` takes it, and the value that it sets; its default is put among what is
    known."""
    if one.kw_only or not one.init:
        raise TypeError(f"{one.name}: for such a field take dataclasses.dataclass")
    name, default = one.name, f"_default_{one.name}"
    if one.default is not MISSING:
        known[default] = one.default
        return f"{name}={default}", name
    if one.default_factory is not MISSING:
        known[default] = one.default_factory
        return f"{name}=_MISSING", f"{default}() if {name} is _MISSING else {name}"
    return name, name


def _comparison(names: Sequence[str]) -> tuple[object, object]:
    values: Callable[[object], tuple[object, ...]] = partial(_values, names)
    if len(names) > 1:  # of one name it gives no tuple
        values = attrgetter(*names)

    def equals(self: object, other: object) -> Any:
        if self.__class__ is not other.__class__:
            return NotImplemented
        return values(self) == values(other)

    return equals, lambda self: hash(values(self))


def _values(names: Sequence[str], instance: object) -> tuple[object, ...]:
    return tuple(getattr(instance, name) for name in names)


def _get_state(self: Any) -> tuple[object, ...]:
    return _values([one.name for one in fields(self)], self)


def _set_state(self: Any, state: tuple[object, ...]) -> None:
    for one, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, one.name, value)


def _show(self: Any) -> str:
    shown = (f"{one.name}={getattr(self, one.name)!r}" for one in fields(self) if one.repr)
    return f"{self.__class__.__qualname__}({', '.join(shown)})"


def _refuse_to_set(_: object, name: str, __: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_: object, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")
