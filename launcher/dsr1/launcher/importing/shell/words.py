"""What a shell script is read as: commands of words."""

import re
from dataclasses import dataclass

from dsr1.launcher.importing.shell.conditions import bare
from dsr1.launcher.importing.shell.secrecy import conceal_words


@dataclass(frozen=True, slots=True)
class Word:
    """One argument. `unknown` are expansions that only a shell could make; `line` counts from 0 in
    the script."""

    text: str
    line: int = 0
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """Words up to an operator, which is "" at the end of the script. `condition` is what decides
    whether it runs."""

    words: tuple[Word, ...]
    operator: str = ""
    redirections: tuple[str, ...] = ()
    condition: str = ""

    @property
    def own(self) -> tuple[Word, ...]:
        """Its words after then, do and their like."""
        return self.words[bare([word.text for word in self.words]) :]

    @property
    def text(self) -> str:
        """For a message: without the secrets."""
        return conceal_words([word.text for word in self.words])


def assignment(word: Word) -> tuple[str, str] | None:
    """NAME and value of a word of the form NAME=value."""
    match = re.fullmatch(r"([A-Za-z_]\w*)=(.*)", word.text, re.DOTALL)
    return (match[1], match[2]) if match else None
