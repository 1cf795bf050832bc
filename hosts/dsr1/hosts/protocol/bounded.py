"""JSON of whoever is on the other side, who may mean harm: bounded in depth, and in what a number
may be."""

import json
import math
import reprlib
from typing import Any

MOST_DEPTH, MOST_NUMBER = 64, 2**64
NONSENSE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What decoding raises where an answer is not what was asked for."""
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 200


def show(value: object) -> str:
    """For a message: the beginning of what may be of any size."""
    return _SHOWN.repr(value)


def parse_bounded(text: bytes | str) -> Any:
    """ValueError: it is not JSON, nests deeper than MOST_DEPTH, or has a number that is infinite,
    none, or above MOST_NUMBER."""
    whole = text.decode("utf-8", "surrogatepass") if isinstance(text, bytes) else text
    try:
        value = _DECODER.decode(whole)
    except RecursionError:
        raise ValueError(f"it nests deeper than {MOST_DEPTH}") from None
    if whole.count("[") + whole.count("{") > MOST_DEPTH:
        refuse_depth(value)
    return value


def refuse_depth(value: object) -> None:
    """ValueError: lists and mappings nest deeper than MOST_DEPTH."""
    level, depth = [value], 0
    while level := [part for one in level for part in _parts(one)]:
        depth += 1
        if depth > MOST_DEPTH:
            raise ValueError(f"it nests deeper than {MOST_DEPTH}")


def _parts(value: object) -> list[object]:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [item for item in items if isinstance(item, (dict, list))]


def _parse_int(text: str) -> int:
    number = int(text) if len(text) <= 21 else MOST_NUMBER + 1
    if abs(number) > MOST_NUMBER:
        raise ValueError(f"no such number is expected: {show(text)}")
    return number


def _parse_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number) or abs(number) > MOST_NUMBER:
        raise ValueError(f"no such number is expected: {show(text)}")
    return number


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no number")


_DECODER = json.JSONDecoder(
    parse_int=_parse_int, parse_float=_parse_float, parse_constant=_refuse_constant
)
