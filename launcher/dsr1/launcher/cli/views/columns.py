"""Rows as aligned columns."""

from collections.abc import Sequence


def render_columns(rows: Sequence[Sequence[str]]) -> str:
    """The last ones of a row may be empty."""
    sizes = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, sizes)).rstrip() for row in rows)
    return "\n".join(lines)
