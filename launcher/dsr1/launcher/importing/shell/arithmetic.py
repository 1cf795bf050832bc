"""$(( ... )) of whole numbers, as bash reckons. Pure."""

import ast
import operator
import re
from collections.abc import Callable, Mapping

_LONGEST, _HIGHEST = 200, 2**31
_NAME = re.compile(r"\$\{([A-Za-z_]\w*)(?::?-([0-9]{1,9}))?\}|\$?([A-Za-z_]\w*)", re.ASCII)
_VALUE = re.compile(r"-?(0|[1-9][0-9]{0,8})", re.ASCII)  # 010 would be octal
_ALLOWED = re.compile(r"[0-9+*/%() \t\n-]*", re.ASCII)


def calculate(expression: str, value_of: Callable[[str], str]) -> int | None:
    """`value_of` gives a variable's text, empty where it has none. None: only a shell knows."""
    if len(expression) > _LONGEST:
        return None
    unknown = False

    def put(found: re.Match[str]) -> str:
        nonlocal unknown
        value = value_of(found[1] or found[3]) or (found[2] or "")
        unknown = unknown or not _VALUE.fullmatch(value)
        return f"({value})"

    text = _NAME.sub(put, expression).strip()
    if unknown or not _ALLOWED.fullmatch(text) or "**" in text or "//" in text:
        return None
    try:
        return _value(ast.parse(text.replace("\n", " "), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return None


def _value(node: ast.expr) -> int:
    """ValueError: it is too large, or something else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        found = node.value
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        found = -_value(node.operand) if isinstance(node.op, ast.USub) else _value(node.operand)
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        found = _OPERATORS[type(node.op)](_value(node.left), _value(node.right))
    else:
        raise ValueError
    if abs(found) >= _HIGHEST:
        raise ValueError
    return found


def _quotient(left: int, right: int) -> int:
    """Towards 0, as in C."""
    found = abs(left) // abs(right)
    return found if (left < 0) == (right < 0) else -found


_OPERATORS: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: _quotient,
    ast.Mod: lambda left, right: left - right * _quotient(left, right),
}
