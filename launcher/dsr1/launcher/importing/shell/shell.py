"""A shell script read, never run: its simple commands, word by word, with the variables that are
known put in. Pure.

What only a shell can know ($(command), a variable that nobody sets) stays as it was written, and
the word says so.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dsr1.launcher.importing.shell.conditions import Conditions
from dsr1.launcher.importing.shell.expansion import ARRAY, PARAMETER, end_of_substitution
from dsr1.launcher.importing.shell.heredoc import end_of_bodies
from dsr1.launcher.importing.shell.secrecy import is_secret
from dsr1.launcher.importing.shell.words import Command, Word, assignment

_OPERATORS = ("&&", "||", ";;", ";", "|", "&", "(", ")", "\n")
_REDIRECTION = re.compile(
    r"(?:\d*|&)(?:>>|>&|>\||>|<&|<<<|<<-?|<)[ \t]*(?:[^\s;&|<>()'\"]+|'[^']*'|\"[^\"]*\")?"
)
LONGEST_TEXT = 131072
"""Bytes of an argument or a variable, with the one that ends it: MAX_ARG_STRLEN of Linux."""
_MOST_WORDS, _MOST_TEXT = 50_000, 2**22
_GROWS = f"it grows beyond {LONGEST_TEXT} bytes"
_SPLITS = " \t\n"


def read_script(
    script: str, variables: Mapping[str, str], arguments: tuple[str, ...] = ()
) -> tuple[Command, ...]:
    """The commands of a script. Assignments on their own are followed, but for secrets.

    Raises ValueError for an open quote, and for what grows without end.
    """
    known = {name: value for name, value in variables.items() if not is_secret(name, value)}
    commands: list[Command] = []
    for command in _Reader(script, known, arguments).commands():
        if not command.words and commands and command.operator == "\n":
            continue
        commands.append(command)
    return tuple(commands)


@dataclass(slots=True)
class _Part:
    """The word that is being read; `begun` tells an empty quoted word from none."""

    line: int = 0
    text: str = ""
    begun: bool = False
    unknown: list[str] = field(default_factory=list)

    def word(self) -> Word:
        return Word(self.text, self.line, tuple(self.unknown))


class _Reader:
    """Character by character: a library that splits words forgets which quotes they stood in."""

    def __init__(self, script: str, variables: dict[str, str], arguments: tuple[str, ...]) -> None:
        self._script = script.replace("\\\r\n", "\\\n").replace("\r\n", "\n")
        self._variables = variables
        self._arguments = [Word(argument) for argument in arguments]
        self._arrays: dict[str, list[Word] | None] = {}
        self._length = 0
        self._at = 0
        self._words: list[Word] = []
        self._redirections: list[str] = []
        self._heredocs: list[str] = []
        self._part = _Part()
        self._conditions = Conditions()

    def commands(self) -> Iterator[Command]:
        while self._at < len(self._script):
            if self._redirects() or self._fills_array():
                continue
            if operator := self._operator():
                yield self._finished(operator)
            else:
                self._step()
        yield self._finished("")

    def _finished(self, operator: str) -> Command:
        self._end_word()
        if not self._words and operator == "\n":
            return Command((), operator, self._taken_redirections())
        condition = self._conditions.enter([word.text for word in self._words])
        command = Command(tuple(self._words), operator, self._taken_redirections(), condition)
        self._words = []
        self._remember(command)
        self._conditions.leave(operator)
        return command

    def _taken_redirections(self) -> tuple[str, ...]:
        taken, self._redirections = tuple(self._redirections), []
        return taken

    def _remember(self, command: Command) -> None:
        """Assignments that last: of a command of nothing else, and of `export`."""
        words = command.own
        rest = (
            words[1:]
            if words and words[0].text in ("export", "local", "readonly", "declare")
            else words
        )
        pairs = [assignment(word) for word in rest]
        if all(pairs):
            for name, _ in filter(None, pairs):
                self._conditions.assign(name, command.condition)
            known = [
                pair for pair, word in zip(pairs, rest, strict=True) if pair and not word.unknown
            ]
            self._variables.update(pair for pair in known if not is_secret(*pair))

    def _redirects(self) -> bool:
        match = _REDIRECTION.match(self._script, self._at)
        if not match or (self._part.begun and match[0][0] not in "<>"):
            return False
        self._end_word()
        self._redirections.append(match[0])
        self._heredocs.append(match[0])
        self._at = match.end()
        return True

    def _fills_array(self) -> bool:
        """NAME=( words ) and NAME+=( words ), over several lines too: what ${NAME[@]} stands
        for."""
        array = ARRAY.fullmatch(self._part.text) if self._script.startswith("(", self._at) else None
        if not array:
            return False
        outer, line = self._words, self._part.line
        self._words, self._part = [], _Part()
        self._at += 1
        while self._script[self._at : self._at + 1] not in (")", ""):
            self._step()
        if self._at >= len(self._script):
            raise ValueError("a ( is never closed")
        self._end_word()
        self._at += 1
        self._arrays[array[1]] = self._longer(array[1], self._words) if array[2] else self._words
        self._words = [*outer, Word(f"{array[1]}=(...)", line, ("(...)",))]
        return True

    def _longer(self, name: str, words: list[Word]) -> list[Word] | None:
        """An array with more at its end; None for one that nobody knows."""
        before = None if name in self._conditions.doubtful else self._arrays.get(name, [])
        return None if before is None else [*before, *words]

    def _operator(self) -> str:
        found = next((o for o in _OPERATORS if self._script.startswith(o, self._at)), "")
        self._at += len(found)
        if found == "\n":
            self._at = end_of_bodies(self._script, self._at, self._heredocs)
            self._heredocs = []
        return found

    def _step(self) -> None:
        char = self._script[self._at]
        if char in _SPLITS:
            self._at += 1
            self._end_word()
        elif char == "#" and not self._part.begun:
            end = self._script.find("\n", self._at)
            self._at = len(self._script) if end < 0 else end
        elif char == "\\":
            self._escape()
        elif char == "'":
            self._single_quoted()
        elif char == '"':
            self._double_quoted()
        elif char in "$`":
            self._expand(quoted=False)
        else:
            self._add(char)
            self._at += 1

    def _add(self, text: str) -> None:
        if not self._part.begun:
            self._part.begun, self._part.line = True, self._script.count("\n", 0, self._at)
        self._part.text += text
        if len(self._part.text) > LONGEST_TEXT:
            raise ValueError(_GROWS)

    def _end_word(self) -> None:
        if self._part.begun:
            self._words.append(self._part.word())
            self._length += len(self._part.text)
            if len(self._words) > _MOST_WORDS or self._length > _MOST_TEXT:
                raise ValueError(f"it grows beyond {_MOST_WORDS} words or {_MOST_TEXT} bytes")
        self._part = _Part()

    def _escape(self) -> None:
        following = self._script[self._at + 1 : self._at + 2]
        if following != "\n":
            self._add(following)
        self._at += 2

    def _single_quoted(self) -> None:
        end = self._script.find("'", self._at + 1)
        if end < 0:
            raise ValueError("a ' is never closed")
        self._add(self._script[self._at + 1 : end])
        self._at = end + 1

    def _double_quoted(self) -> None:
        self._add("")
        self._at += 1
        while self._script[self._at : self._at + 1] not in ('"', ""):
            char, following = self._script[self._at], self._script[self._at + 1 : self._at + 2]
            if char == "\\" and following and following in '$`"\\\n':
                self._add("" if following == "\n" else following)
                self._at += 2
            elif char in "$`":
                self._expand(quoted=True)
            else:
                self._add(char)
                self._at += 1
        if self._at >= len(self._script):
            raise ValueError('a " is never closed')
        self._at += 1

    def _expand(self, quoted: bool) -> None:
        match = PARAMETER.match(self._script, self._at)
        if not match:
            self._leave_unknown()
            return
        self._at = match.end()
        if match["number"]:
            self._positional(match["number"].strip("{}"), match[0], quoted)
            return
        if match["array"]:
            self._put_array(match["array"], match[0])
            return
        name, default = (
            match["name"] or match["braced"],
            match["default"] if match["when"] else None,
        )
        if name in self._conditions.doubtful:
            self._put(None, match[0], quoted)
            return
        value = self._variables.get(name)
        if value is None or (not value and match["when"] == ":-"):
            value = default if default is not None else value
        self._put(value, match[0], quoted)

    def _put(self, value: str | None, written: str, quoted: bool) -> None:
        if value is None:
            self._add(written)
            self._part.unknown.append(written)
        elif quoted or not any(char in value for char in _SPLITS):
            self._add(value) if value or quoted else None
        else:
            self._put_fields(value)

    def _put_fields(self, value: str) -> None:
        """An unquoted value falls apart at its spaces, as a shell's does."""
        for number, piece in enumerate(value.split()):
            if number or value[0] in _SPLITS:
                self._end_word()
            self._add(piece)
        if value[-1] in _SPLITS:
            self._end_word()

    def _positional(self, name: str, written: str, quoted: bool) -> None:
        if name in "@*":
            self._put_words(self._arguments[1:])
            return
        at = int(name)
        self._put(self._arguments[at].text if at < len(self._arguments) else None, written, quoted)

    def _put_array(self, name: str, written: str) -> None:
        words = None if name in self._conditions.doubtful else self._arrays.get(name)
        if words is None:
            self._put(None, written, quoted=True)
        else:
            self._put_words(words)

    def _put_words(self, words: Sequence[Word]) -> None:
        """Each stays one word; the first and the last join what stands beside them."""
        for number, word in enumerate(words):
            if number:
                self._end_word()
            self._add(word.text)
            self._part.unknown.extend(word.unknown)

    def _leave_unknown(self) -> None:
        """A command substitution, arithmetic, or a form of ${} that needs a shell; a lone $ is just
        that."""
        rest = self._script[self._at :]
        end = end_of_substitution(rest)
        if end > 1:
            self._part.unknown.append(rest[:end])
        self._add(rest[:end])
        self._at += end
