"""A shell script read, never run: its simple commands, word by word, with the variables that are
known put in. Pure.

What only a shell can know ($(command), a variable that nobody sets) stays as it was written, and
the word says so.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, takewhile

from dsr1.launcher.importing.shell.conditions import Conditions
from dsr1.launcher.importing.shell.expansion import Variables
from dsr1.launcher.importing.shell.secrecy import is_secret
from dsr1.launcher.importing.shell.syntax import (
    Assignment,
    Literal,
    Operator,
    RawWord,
    Redirection,
)
from dsr1.launcher.importing.shell.tokens import read_tokens
from dsr1.launcher.importing.shell.words import ShellCommand, VariableChange, Word, word_texts

DECLARATIONS = ("export", "declare", "local", "readonly", "typeset")
_SETS_VARIABLES = ("read", "mapfile", "readarray", "getopts", "let")
_MOST_COMMANDS = 4000
_NAMES = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_INDEX = re.compile(r"\[[^\]]*\]\+?=")


def read_script(
    script: str, variables: Mapping[str, str], arguments: Sequence[Word] = ()
) -> tuple[ShellCommand, ...]:
    """The commands of a script. Assignments on their own are followed, but for secrets;
    `arguments` are $0, $1 and so on.

    Raises ValueError for an open quote or bracket, and for what grows without end.
    """
    commands = tuple(
        islice(_Reader(Variables(variables, arguments)).commands(script), _MOST_COMMANDS + 1)
    )
    if len(commands) > _MOST_COMMANDS:
        raise ValueError(f"it has more than {_MOST_COMMANDS} commands")
    return commands


class _Reader:
    def __init__(self, variables: Variables) -> None:
        self._variables = variables
        self._conditions = Conditions()
        self._raw: list[RawWord] = []
        self._redirections: list[Redirection] = []
        self._changes: list[VariableChange] = []
        self._condition = ""
        self._until_list_ends: set[str] = set()
        self._in_subshell: set[str] = set()
        self._subshells = 0
        self._subshell_number = 1
        self._exports_all = False

    def commands(self, script: str) -> Iterator[ShellCommand]:
        for token in read_tokens(script):
            if isinstance(token, Redirection):
                self._redirections.append(token)
            elif isinstance(token, RawWord):
                self._add(token)
                if self._is_head_of_case():
                    yield self._command("")
                    self._conditions.begin_patterns()
            else:
                yield from self._ended(token)
        yield self._command("")

    def _add(self, word: RawWord) -> None:
        if self._conditions.in_patterns:
            if word.plain == "esac":
                self._conditions.end_patterns()
        elif self._raw and self._raw[0].plain == "function" and word.plain == "{":
            self._raw = []
            self._conditions.open_function()
        elif self._raw or not self._is_keyword(word):
            self._raw.append(word)

    def _is_keyword(self, word: RawWord) -> bool:
        """The heads of for, select and case are read as commands."""
        is_keyword = self._conditions.take_keyword(word.plain) if word.plain else False
        return is_keyword and word.plain not in ("for", "select", "case")

    def _is_head_of_case(self) -> bool:
        return len(self._raw) == 3 and [self._raw[0].plain, self._raw[2].plain] == ["case", "in"]

    def _ended(self, operator: Operator) -> Iterator[ShellCommand]:
        is_case = self._conditions.in_patterns
        if operator.text == "(" and self._raw and not is_case:  # NAME() of a function
            self._raw = []
            self._conditions.expect_body()
        is_empty = not self._raw and not self._redirections
        if is_empty and operator.text == "\n":
            return
        if not is_case:
            command = self._command(operator.text)
            if not is_empty:
                yield command
        self._conditions.take_operator(operator.text)

    def _command(self, operator: str) -> ShellCommand:
        self._condition = self._conditions.current
        self._changes = []
        words = self._words()
        self._take_defaults()
        command = ShellCommand(
            tuple(words),
            operator,
            tuple(redirection.text for redirection in self._redirections),
            self._condition,
            tuple(self._changes),
            any(redirection.is_heredoc for redirection in self._redirections),
            self._conditions.is_piped,
            self._subshell_number if self._subshells else 0,
        )
        self._raw, self._redirections = [], []
        self._end_scopes(command, operator)
        return command

    def _take_defaults(self) -> None:
        for name, word in self._variables.defaults.items():
            self._set(name, None if word.unknown else word.text)
            self._change(name, word)
        self._variables.defaults.clear()

    def _end_scopes(self, command: ShellCommand, operator: str) -> None:
        """What was set in a pipe or in the background doesn't last."""
        if command.runs_apart:
            self._variables.doubtful |= {change.name for change in command.changes}
        if operator != "&&":
            self._variables.doubtful |= self._until_list_ends
            self._until_list_ends.clear()
        self._subshells = max(0, self._subshells + (operator == "(") - (operator == ")"))
        if not self._subshells:
            self._subshell_number += 1
            self._variables.doubtful |= self._in_subshell
            self._in_subshell.clear()

    def _words(self) -> list[Word]:
        own = next((i for i, raw in enumerate(self._raw) if not raw.assignment), len(self._raw))
        front, rest = self._raw[:own], self._raw[own:]
        if not rest:
            return [self._assign(raw) for raw in front]
        words = [self._prefix(raw) for raw in front]
        if rest[0].plain in DECLARATIONS:
            return [*words, *self._declare(rest)]
        expanded = [word for raw in rest for word in self._variables.expand(raw)]
        if expanded:
            self._follow(expanded)
        return [*words, *expanded]

    def _prefix(self, raw: RawWord) -> Word:
        """NAME=value before a command, which alone gets it."""
        target = raw.assignment
        assert target
        value = self._variables.expand_whole(target.value, raw.line)
        return Word(target.written + value.text, raw.line, value.unknown)

    def _declare(self, raws: Sequence[RawWord]) -> list[Word]:
        words = [Word(raws[0].plain, raws[0].line)]
        options = "".join(raw.plain for raw in raws if raw.plain[:1] in ("-", "+"))
        exported = raws[0].plain == "export" or "x" in options
        for raw in raws[1:]:
            if raw.assignment:
                words.append(self._assign(raw, exported))
            else:
                words += self._variables.expand(raw)
                if raw.plain.isidentifier() and exported:
                    self._export(raw.plain, raw.line)
        if set(options) - set("-xgrap"):  # integers, references, export -n
            self._variables.doubtful |= {change.name for change in self._changes}
        return words

    def _export(self, name: str, line: int) -> None:
        value = self._variables.value_of(name)
        if name in self._variables.doubtful:
            self._change(name, Word(f"${name}", line, (f"${name}",)), True)
        elif isinstance(value, str):
            self._change(name, Word(value, line), True)

    def _assign(self, raw: RawWord, exported: bool = False) -> Word:
        target = raw.assignment
        assert target
        if target.array is not None:
            return self._assign_array(target, raw.line)
        value = self._variables.expand_whole(target.value, raw.line)
        self._take_defaults()
        result = self._sum(target, value)
        self._set(target.name, None if result.unknown or target.has_index else result.text)
        self._change(target.name, result, exported)
        return Word(target.written + value.text, raw.line, value.unknown)

    def _sum(self, target: Assignment, value: Word) -> Word:
        """What the variable is afterwards."""
        if not target.adds:
            return value
        before = self._variables.value_of(target.name)
        if target.name in self._variables.doubtful or isinstance(before, list):
            source = f"${target.name}"
            return Word(source + value.text, value.line, (source, *value.unknown))
        result = Word((before or "") + value.text, value.line, value.unknown)
        self._variables.take_room([result])
        return result

    def _assign_array(self, target: Assignment, line: int) -> Word:
        raws = target.array or ()
        items = [word for raw in raws for word in self._variables.expand(raw)]
        self._take_defaults()
        words = self._variables.extended(target.name, items) if target.adds else items
        has_indexes = any(_INDEX.match(_text_of(raw)) for raw in raws)
        self._set(target.name, None if has_indexes else words)
        word = Word(f"{target.written}(...)", line, ("(...)",))
        self._change(target.name, word)
        return word

    def _set(self, name: str, value: str | list[Word] | None) -> None:
        """None: nobody knows it. After && a variable is known as long as the list goes on; after ||
        and in a branch it isn't."""
        if value is None or (isinstance(value, str) and is_secret(name, value)):
            self._variables.doubtful.add(name)
        else:
            self._variables.set(name, value)
        self._doubt(name)

    def _doubt(self, name: str) -> None:
        self._until_list_ends.discard(name)
        if self._condition == "&&":
            self._until_list_ends.add(name)
        elif self._condition:
            self._variables.doubtful.add(name)
        if self._subshells:
            self._in_subshell.add(name)

    def _change(self, name: str, value: Word | None, exported: bool = False) -> None:
        self._changes.append(VariableChange(name, value, exported or self._exports_all))

    def _follow(self, words: Sequence[Word]) -> None:
        """What the shell's own commands do to variables and arguments."""
        name, *rest = word_texts(words)
        names = [text for text in rest if text[:1] not in ("-", "+")]
        if name == "unset" and "-f" not in rest:
            self._unset(names)
        elif name == "set":
            self._set_arguments(words[1:])
        elif name == "shift":
            self._shift(names)
        elif name in ("for", "select"):
            self._variables.doubtful.update(names[:1])
        elif _sets_variables(name, rest):
            self._variables.doubtful.update(_NAMES.findall(" ".join((name, *rest))))

    def _unset(self, names: Sequence[str]) -> None:
        for name in names:
            name, bracket, _ = name.partition("[")
            if bracket:
                self._variables.doubtful.add(name)
                continue
            self._variables.set(name, None)
            self._doubt(name)
            self._change(name, None)

    def _set_arguments(self, words: Sequence[Word]) -> None:
        """set -- words. Options alone leave the arguments as they are."""
        options = list(takewhile(lambda word: word.text[:1] in ("-", "+"), words))
        if any(re.match(r"-[a-z]*a", option.text) for option in options):
            self._exports_all = True
        ends = next((i + 1 for i, word in enumerate(options) if word.text == "--"), len(options))
        if words[ends:] or ends < len(options) or word_texts(options)[-1:] == ["--"]:
            self._arguments_are(words[ends:])

    def _shift(self, names: Sequence[str]) -> None:
        count = int(names[0][:6]) if names and names[0].isdecimal() else 1
        before = self._variables.arguments or []
        is_known = not any(word.unknown for word in before[1 : 1 + count])
        self._arguments_are(before[1 + count :] if is_known else None)

    def _arguments_are(self, words: Sequence[Word] | None) -> None:
        before = self._variables.arguments
        if self._condition or self._subshells or words is None or before is None:
            self._variables.arguments = None
        else:
            self._variables.arguments = [*(before[:1] or [Word("$0", 0, ("$0",))]), *words]


def _sets_variables(name: str, rest: Sequence[str]) -> bool:
    """Whether a command sets some of the variables that it names."""
    is_printf = name == "printf" and rest[:1] == ["-v"]
    return is_printf or name in _SETS_VARIABLES or name.startswith("((")


def _text_of(raw: RawWord) -> str:
    return "".join(part.text if isinstance(part, Literal) else part.source for part in raw.parts)
