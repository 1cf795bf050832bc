"""Version texts as numbers that compare."""

import re


def version_numbers(text: str) -> tuple[int, ...]:
    """The first three numbers of a text; empty where it has none."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])
