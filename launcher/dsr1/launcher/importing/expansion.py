"""What a $ of a script stands for: a variable, an argument, an array, or something that only a shell can make. Pure."""

import re

_NAME = r"[A-Za-z_]\w*"
PARAMETER = re.compile(
    rf"\$(?:(?P<name>{_NAME})|\{{(?P<braced>{_NAME})(?:(?P<when>:?-)(?P<default>[^${{}}`]*))?\}}"
    rf"|(?P<number>[@*0-9]|\{{[@*]\}})|\{{(?P<array>{_NAME})\[[@*]\]\}})"
)
ARRAY = re.compile(rf"({_NAME})(\+?)=")
"""What stands before the ( of an array; + adds to it."""


def end_of_substitution(text: str) -> int:
    """Where $(...), ${...} or `...` ends, of a text that begins with one; 1 for a lone $."""
    if text.startswith("`"):
        return text.find("`", 1) + 1 or len(text)
    pair = {"$(": "()", "${": "{}"}.get(text[:2])
    if pair is None:
        return 1
    depth = 0
    for at, char in enumerate(text):
        depth += (char == pair[0]) - (char == pair[1])
        if at and depth == 0 and char == pair[1]:
            return at + 1
    return len(text)
