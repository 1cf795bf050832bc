"""What a shell script is read as: commands of words, and the variables that they change."""

import re
from collections.abc import Sequence

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.importing.shell.secrecy import conceal_words

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL | re.ASCII)


@dataclass(frozen=True, slots=True)
class Word:
    """One argument. `unknown` are expansions that only a shell could make; `line` counts from 0 in
    the script."""

    text: str
    line: int = 0
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VariableChange:
    """A variable's new value, or None: it was unset. `exported`: programs get it."""

    name: str
    value: Word | None
    exported: bool = False


@dataclass(frozen=True, slots=True)
class ShellCommand:
    """Words up to an operator, which is "" at the end of the script. `condition` is what decides
    whether it runs: &&, ||, or a branch."""

    words: tuple[Word, ...]
    operator: str = ""
    redirections: tuple[str, ...] = ()
    condition: str = ""
    changes: tuple[VariableChange, ...] = ()
    writes_file: bool = False
    is_piped: bool = False
    subshell: int = 0
    """`writes_file`: it has a here-document. `is_piped`: it reads what the one before it writes.
    `subshell`: in which ( ) it stands, 0 for none."""

    @property
    def runs_apart(self) -> bool:
        """In a process of its own, so that what it sets ends with it."""
        return self.is_piped or self.operator in ("|", "|&", "&")

    @property
    def text(self) -> str:
        """For a message: without the secrets."""
        return conceal_words(word_texts(self.words))


def word_texts(words: Sequence[Word]) -> list[str]:
    return [word.text for word in words]


def assignment(word: Word) -> tuple[str, str] | None:
    """NAME and value of a word of the form NAME=value."""
    match = _ASSIGNMENT.fullmatch(word.text)
    return (match[1], match[2]) if match else None
