"""A fact: a value that was observed on a host, and where it was read."""

import math
from collections.abc import Callable, Iterable, Mapping

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.protocol.plain import from_plain

FactValue = None | bool | int | float | str | list["FactValue"] | dict[str, "FactValue"]


@dataclass(frozen=True, slots=True)
class Fact:
    """`value` is JSON's; None where it couldn't be read, and `problem` then says why."""

    value: FactValue
    source: str
    problem: str = ""


Facts = Mapping[str, Fact]
UNREADABLE = (OSError, ValueError, LookupError, ArithmeticError, RecursionError, ImportError)


def value_of(facts: Facts, name: str) -> FactValue:
    """None: it isn't known."""
    return facts[name].value if name in facts else None


Reader = tuple[str, str, Callable[[], FactValue]]
"""Name, source, and what reads it; an error of UNREADABLE makes it a fact without a value."""


def observe(readers: Iterable[Reader]) -> dict[str, Fact]:
    return {name: _observe_one(source, read) for name, source, read in readers}


def _observe_one(source: str, read: Callable[[], FactValue]) -> Fact:
    try:
        value = read()
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{value} is no number")
        return Fact(value, source)
    except UNREADABLE as error:
        return Fact(None, source, reason_of(error))


def to_plain(facts: Facts) -> dict[str, dict[str, FactValue]]:
    """As JSON carries them."""
    return {
        name: {"value": f.value, "source": f.source, "problem": f.problem}
        for name, f in facts.items()
    }


def from_wire(plain: object) -> dict[str, Fact]:
    """ValueError: these are no facts."""
    return from_plain(dict[str, Fact], plain, "facts")


def reason_of(error: BaseException) -> str:
    """Of an OSError its reason alone: the file or address is named beside it. Never empty."""
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
