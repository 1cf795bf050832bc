"""What a $ of a script stands for: a variable, an argument, an array, or something that only a
shell can make. Pure."""

import re

from dsr1.launcher.importing.shell.heredoc import end_of_bodies

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
    if whole := _end_of_command(text) if pair == "()" else 0:
        return whole
    depth = 0
    for at, char in enumerate(text):
        depth += (char == pair[0]) - (char == pair[1])
        if at and depth == 0 and char == pair[1]:
            return at + 1
    return len(text)


_TOKEN = re.compile(
    r"\\.|'[^']*'|\"(?:\\.|[^\"\\])*\"|(?P<here><<-?[ \t]*[^\s<]\S*)|(?P<char>[()\n])", re.DOTALL
)  # what quotes and here-documents hold closes nothing


def _end_of_command(text: str) -> int:
    """Where $(...) ends; 0 where it doesn't, read so."""
    depth, at, heredocs = 0, 1, list[str]()
    while token := _TOKEN.search(text, at):
        at = token.end()
        if token["here"]:
            heredocs.append(token["here"])
        elif token["char"] == "\n":
            at, heredocs = end_of_bodies(text, at, heredocs), []
        elif token["char"]:
            depth += 1 if token["char"] == "(" else -1
            if depth == 0:
                return at
    return 0
