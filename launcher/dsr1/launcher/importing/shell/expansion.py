"""The variables of a script while it is read, and the words that expansions make of them. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence

from dsr1.launcher.importing.shell.arithmetic import calculate
from dsr1.launcher.importing.shell.secrecy import is_secret
from dsr1.launcher.importing.shell.syntax import Expansion, Literal, RawWord, WordPart
from dsr1.launcher.importing.shell.words import Word, word_texts

LONGEST_TEXT = 131072
"""Bytes of an argument or a variable, with the one that ends it: MAX_ARG_STRLEN of Linux."""
_MOST_WORDS, _MOST_TEXT = 40_000, 2**22
_BLANKS = (" ", "\t", "\n")
_BRACES = re.compile(r"\{[^{}]*\}")
_NEEDS_SHELL = re.compile(r"[~{]")
_HOME = re.compile(r"~[\w.-]*(?:/|\Z)")


class _OnlyAShellKnowsError(Exception):
    pass


class Variables:
    """Scalars, arrays, and None for what was unset. `doubtful` are names whose value nobody knows
    before the script runs; `arguments` are $0, $1 and so on, None when nobody knows them."""

    def __init__(self, values: Mapping[str, str], arguments: Sequence[Word]) -> None:
        self.arguments: list[Word] | None = list(arguments)
        self.doubtful: set[str] = {name for name, value in values.items() if is_secret(name, value)}
        self._values: dict[str, str | list[Word] | None] = {
            name: value for name, value in values.items() if name not in self.doubtful
        }
        self.defaults: dict[str, Word] = {}
        """What ${NAME:=default} has set since somebody cleared this."""
        self._room = _MOST_TEXT
        self._words_left = _MOST_WORDS

    def take_room(self, words: Iterable[Word]) -> None:
        """Raises ValueError when all words so far are more than any script needs."""
        for word in words:
            self._room -= len(word.text)
            self._words_left -= 1
        if self._room < 0 or self._words_left < 0:
            raise ValueError(f"it grows beyond {_MOST_WORDS} words or {_MOST_TEXT} bytes")

    def value_of(self, name: str) -> str | list[Word] | None:
        """None for a variable that is not set, or that nobody knows."""
        return None if name in self.doubtful else self._values.get(name)

    def set(self, name: str, value: str | list[Word] | None) -> None:
        before = self.value_of(name)
        self.doubtful.discard(name)
        if isinstance(value, str) and isinstance(before, list):  # A=x sets the array's first
            if any(word.unknown for word in before[:1]):
                self.doubtful.add(name)
            value = [Word(value), *before[1:]]
        self._values[name] = value

    def extended(self, name: str, words: Sequence[Word]) -> list[Word] | None:
        """NAME+=( words ); None for a variable that nobody knows."""
        before = self.value_of(name)
        if name in self.doubtful:
            return None
        if isinstance(before, list):
            before.extend(words)
            return before
        return [*([Word(before)] if before is not None else []), *words]

    def expand(self, raw: RawWord) -> list[Word]:
        """A word as arguments of a command: unquoted values fall apart at blanks."""
        if raw.plain and not _NEEDS_SHELL.search(raw.plain):
            words = [Word(raw.plain, raw.line)]
            self.take_room(words)
            return words
        fields = _Fields(raw.line)
        fields.unknown += _made_by_shell(raw.parts)
        return self._expanded(raw.parts, fields, whole=False)

    def expand_whole(self, parts: Sequence[WordPart], line: int) -> Word:
        """A word as the value of a variable, which stays one."""
        fields = _Fields(line)
        fields.unknown += _home(parts)
        return next(iter(self._expanded(parts, fields, whole=True)), Word("", line))

    def _expanded(self, parts: Sequence[WordPart], fields: "_Fields", whole: bool) -> list[Word]:
        self._put_all(parts, fields, whole)
        fields.end_word()
        self.take_room(fields.words)
        return fields.words

    def _put_all(self, parts: Sequence[WordPart], fields: "_Fields", whole: bool) -> None:
        for part in parts:
            if isinstance(part, Expansion):
                self._put(part, fields, whole)
            elif part.quoted or whole:
                fields.add(part.text)
            else:
                fields.split(part.text)

    def _put(self, part: Expansion, fields: "_Fields", whole: bool) -> None:
        try:
            found = self._look_up(part)
        except _OnlyAShellKnowsError:
            fields.leave(part.source)
            return
        kind, is_there = part.operator[-1:], _is_there(part, found)
        if kind == "?" and not is_there:
            fields.leave(part.source)
        elif (kind == "+") if is_there else kind in ("-", "="):
            self._put_default(part, fields, whole)
        else:
            self._put_words(part, [] if kind == "+" else found or [], fields, whole)

    def _put_default(self, part: Expansion, fields: "_Fields", whole: bool) -> None:
        if part.operator.endswith("="):
            word = self.expand_whole(part.default, fields.line)
            self.set(part.name, word.text)
            self.defaults[part.name] = word
        self._put_all(part.default, fields, whole)

    def _put_words(
        self, part: Expansion, found: Sequence[Word], fields: "_Fields", whole: bool
    ) -> None:
        """Each of several stays a word; the first and the last join what stands beside them."""
        is_whole = part.quoted or whole
        if not part.is_list:
            found = found or [Word("")]
        elif whole or (part.quoted and part.is_star):
            found = [_joined(found, self._separator())]
        for number, word in enumerate(found):
            if number:
                fields.end_word()
            fields.unknown += word.unknown
            if is_whole or word.unknown:
                fields.add(word.text)
            else:
                fields.split(word.text)

    def _calculated(self, expression: str) -> int:
        found = calculate(expression, self._number)
        if found is None:
            raise _OnlyAShellKnowsError
        return found

    def _number(self, name: str) -> str:
        value = self.value_of(name)
        return value if isinstance(value, str) else ""

    def _separator(self) -> str:
        value = self.value_of("IFS")
        return value[:1] if isinstance(value, str) else " "

    def _look_up(self, part: Expansion) -> Sequence[Word] | None:
        """Its words; None where it is known to be unset, or where a default stands in for it."""
        name = part.name
        if part.source.startswith("$(("):
            return [Word(str(self._calculated(part.source[3:-2])))]
        if name.isdigit() or name in ("@", "*", "#"):
            return self._positional(name)
        is_known = name in self._values or part.operator[-1:] in ("-", "=")
        if not name.isidentifier() or name in self.doubtful or not is_known:
            raise _OnlyAShellKnowsError
        value = self._values.get(name)
        if isinstance(value, list):
            return value if part.is_list else _nth(value, part.index or "0")
        return [Word(value)] if value is not None and part.index.strip("@*0") == "" else None

    def _positional(self, name: str) -> Sequence[Word] | None:
        if self.arguments is None or (name == "0" and not self.arguments):
            raise _OnlyAShellKnowsError
        if name in ("@", "*"):
            return self.arguments[1:]
        if name == "#":
            _nth(self.arguments, str(len(self.arguments)))
            return [Word(str(max(0, len(self.arguments) - 1)))]
        return _nth(self.arguments, name)


def _nth(words: Sequence[Word], index: str) -> Sequence[Word] | None:
    """A word that nobody knows may be several, or none: what follows it has no number."""
    number = int(index[:6])
    if any(word.unknown for word in words[: number + 1]):
        raise _OnlyAShellKnowsError
    return words[number : number + 1] or None


def _is_there(part: Expansion, found: Sequence[Word] | None) -> bool:
    """For ${name:-default} it must have a text, for ${name-default} only be set."""
    if part.operator.startswith(":"):
        return any(word.text for word in found or ())
    return found is not None


def _home(parts: Sequence[WordPart]) -> list[str]:
    """~ and ~NAME at the start."""
    first = parts[0] if parts else None
    is_home = isinstance(first, Literal) and not first.quoted and _HOME.match(first.text)
    return ["~"] if is_home else []


def _made_by_shell(parts: Sequence[WordPart]) -> list[str]:
    """What braces and ~ become: {1,2} is two words for bash, and one for others."""
    bare = [p.text if isinstance(p, Literal) and not p.quoted else "x" for p in parts]
    braces = _BRACES.findall("".join(bare))
    return _home(parts) + [found for found in braces if "," in found or ".." in found]


def _joined(words: Sequence[Word], separator: str) -> Word:
    unknown = [source for word in words for source in word.unknown]
    return Word(separator.join(word_texts(words)), 0, tuple(unknown))


class _Fields:
    """The words that one word of the script becomes."""

    def __init__(self, line: int) -> None:
        self.words: list[Word] = []
        self.unknown: list[str] = []
        self.line = line
        self._pieces: list[str] = []
        self._length = 0

    def add(self, text: str) -> None:
        """To the word that is being made; an empty one is a word, too."""
        self._pieces.append(text)
        self._length += len(text)
        if self._length > LONGEST_TEXT:
            raise ValueError(f"it grows beyond {LONGEST_TEXT} bytes")

    def split(self, text: str) -> None:
        if text.startswith(_BLANKS):
            self.end_word()
        for number, piece in enumerate(re.findall(r"[^ \t\n]+", text)):
            if number:
                self.end_word()
            self.add(piece)
        if text.endswith(_BLANKS):
            self.end_word()

    def leave(self, source: str) -> None:
        """An expansion as it is written."""
        self.add(source)
        self.unknown.append(source)

    def end_word(self) -> None:
        if self._pieces:
            self.words.append(Word("".join(self._pieces), self.line, tuple(self.unknown)))
        self._pieces, self._length, self.unknown = [], 0, []
