"""A container's command and arguments, in any of their forms, to the program that it runs and its
arguments."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from dsr1.hosts.errors import InputError
from dsr1.launcher.importing.manifest.kubernetes import expand_kubernetes, placeholders
from dsr1.launcher.importing.manifest.ledger import Ledger
from dsr1.launcher.importing.manifest.tree import Fields, Items, Place, Scalar, Value
from dsr1.launcher.importing.shell.heredoc import is_heredoc
from dsr1.launcher.importing.shell.secrecy import conceal, conceal_words
from dsr1.launcher.importing.shell.shell import LONGEST_TEXT, read_script
from dsr1.launcher.importing.shell.words import Command, Word, assignment

_SHELLS = ("sh", "bash", "dash", "ash", "zsh")
_OF_THE_SCRIPT = ("set", "shopt", "trap", "wait", "exit", "break", "continue", "true", "false", ":")
_SAID_OR_SLEPT = ("echo", "printf", "date", "sleep", "env")
_TESTS = ("[", "[[", "test", "for", "case", "select")
_BEFORE_A_COMMAND = ("exec", "nohup", "then", "do", "else", "{", "time", "command", "env")
_MODULE = re.compile(r"(dynamo|vllm|sglang|tensorrt_llm)(\.|$)")
_COMMANDS = ("vllm", "vllm-rs", "dynamo-vllm-sidecar", "dynamo-run", "sglang", "trtllm-serve")
_REASONS = {
    "cd": "dsr1 runs in the run's folder",
    "ulimit": "limits are the host's; dsr1 check judges them (sys.memlock, sys.nofile)",
    **dict.fromkeys((*_OF_THE_SCRIPT, *_SAID_OR_SLEPT, *_TESTS), "of the script alone"),
}


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of the program. `unknown` are expansions that only a shell could make; a script
    starts at `line`."""

    text: str
    places: tuple[Place, ...]
    unknown: tuple[str, ...] = ()
    line: int = 0


@dataclass(frozen=True, slots=True)
class Program:
    """What a container runs: a Python module (dynamo.vllm) or a command, what follows it, what was
    exported before."""

    name: str
    arguments: tuple[Argument, ...] = ()
    exports: Mapping[str, Argument] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a container of this kind runs where the manifest doesn't say, and which file messages
    name."""

    program: str
    source: str


def read_program(
    container: Fields, variables: Mapping[str, str], wanted: Wanted, ledger: Ledger
) -> Program:
    """Raises InputError that names the place, for a script that can't be read or that starts
    several."""
    command = _arguments(container.get("command"), variables, wanted, ledger)
    args = _arguments(container.get("args"), variables, wanted, ledger)
    argv = (*command, *args)
    for argument in argv:
        if why := unfit(argument.text):
            place = argument.places[0]
            raise InputError(
                f"{wanted.source}:{place.line}: {place}: {why}, which no process can be given"
            )
    if not argv or (not command and args[0].text.startswith("-") and args[0].text != "-m"):
        return Program(wanted.program, args)
    script = _script_at(argv)
    if script is None:
        return _program_of(argv, ledger)
    if argv[script].text.startswith("--"):
        ledger.rewrite(
            "a shell got flags in place of a script; they are read as the worker's",
            "",
            *_places(argv),
        )
        return Program(wanted.program, argv[script:])
    ledger.use("stack", *_places(argv[:script]))
    return _from_script(argv[script:], variables, wanted, ledger)


def _places(arguments: Sequence[Argument]) -> tuple[Place, ...]:
    return tuple(place for argument in arguments for place in argument.places)


def _arguments(
    value: Value | None, variables: Mapping[str, str], wanted: Wanted, ledger: Ledger
) -> tuple[Argument, ...]:
    """A list of texts; or one text, which Kubernetes would refuse and which is split as a shell
    would."""
    if isinstance(value, Scalar):
        commands = _commands(Argument(value.text, (value.place,)), (), variables, wanted)
        words = [word for command in commands for word in command.words]
        ledger.rewrite(
            "one text where Kubernetes wants a list; it is split as a shell would", "", value.place
        )
        return tuple(Argument(word.text, (value.place,), word.unknown) for word in words)
    items = value.values if isinstance(value, Items) else ()
    return tuple(
        _argument(item, variables, wanted.source) for item in items if isinstance(item, Scalar)
    )


def _argument(item: Scalar, variables: Mapping[str, str], source: str) -> Argument:
    try:
        text = expand_kubernetes(item.text, variables)
    except ValueError as error:
        raise InputError(f"{source}:{item.place.line}: {item.place}: {error}") from None
    return Argument(text, (item.place,), placeholders(text), item.first_line)


def _script_at(argv: Sequence[Argument]) -> int | None:
    """Where the script of `sh -c SCRIPT` stands."""
    if argv[0].text.rsplit("/", 1)[-1] not in _SHELLS:
        return None
    for index, argument in enumerate(argv[1:-1], start=1):
        if re.fullmatch(r"-[a-z]*c", argument.text):
            return index + 1
    return None


def _program_of(argv: Sequence[Argument], ledger: Ledger) -> Program:
    """The module after -m, or the command itself; a wrapper in front of Python is noted."""
    at = _name_at(argv)
    python = next(
        (i for i, a in enumerate(argv[:at]) if a.text.rsplit("/", 1)[-1].startswith("python")), at
    )
    wrapper = [a for a in argv[:python] if a.text not in _BEFORE_A_COMMAND]
    options = argv[python + 1 : at - 1]
    for words, what in (
        (wrapper, "a wrapper around the program"),
        (options, "options of the interpreter"),
    ):
        if words:
            text = short(conceal_words([word.text for word in words]))
            ledger.leave(f"{text}: {what}, which dsr1 starts without", *_places(words))
    ledger.use("stack", *_places(argv[: at + 1]))
    return Program(argv[at].text, tuple(argv[at + 1 :]))


def _name_at(argv: Sequence[Argument]) -> int:
    modules = [i + 1 for i, a in enumerate(argv[:-1]) if a.text == "-m"]
    known = [i for i in modules if _MODULE.match(argv[i].text)]
    commands = [i for i, a in enumerate(argv) if a.text not in _BEFORE_A_COMMAND]
    return next(iter((*known, *modules, *commands)), 0)


def _from_script(
    argv: tuple[Argument, ...], variables: Mapping[str, str], wanted: Wanted, ledger: Ledger
) -> Program:
    commands = _commands(argv[0], argv[1:], variables, wanted)
    chosen = _choose(commands, wanted, argv[0].places[0])
    commands = _settled(commands, chosen)
    takes = bool(re.search(r"\$[@*{0-9]", argv[0].text))
    if argv[1:] and not takes:
        ledger.leave(
            "arguments of a script that takes none; in Kubernetes they have no effect",
            *_places(argv[1:]),
        )
    at = _Script(argv[0].line, _places(argv if takes else argv[:1]))
    _Reporter(at, ledger).report(commands, chosen)
    if chosen is None:
        return Program(short(commands[-1].text if commands else ""))
    words, own = _apart(_unfolded(chosen.words, at, ledger))
    exports = {
        name: argument for command in commands for name, argument in _exported(command, at).items()
    }
    exports |= {
        name: Argument(value, at.places(word), word.unknown)
        for word in own
        for name, value in [_pair(word)]
    }
    program = _program_of(
        [Argument(word.text, at.places(word), word.unknown) for word in words], ledger
    )
    return replace(program, exports=exports)


def _commands(
    script: Argument, arguments: Sequence[Argument], variables: Mapping[str, str], wanted: Wanted
) -> tuple[Command, ...]:
    place = script.places[0]
    try:
        return read_script(script.text, variables, tuple(argument.text for argument in arguments))
    except ValueError as error:
        raise InputError(
            f"{wanted.source}:{place.line}: {place}: the script can't be read: {error}"
        ) from None


@dataclass(frozen=True, slots=True)
class _Script:
    """Where a script stands; a word of it has the line that it is on."""

    line: int
    around: tuple[Place, ...] = ()

    def places(self, word: Word) -> tuple[Place, ...]:
        return (
            tuple(replace(place, line=self.line + word.line) for place in self.around[:1])
            + self.around[1:]
        )


def _choose(commands: Sequence[Command], wanted: Wanted, place: Place) -> Command | None:
    """The one command that starts a program, of several the one that is wanted here."""
    programs = [command for command in commands if _is_program(command)]
    if len(programs) > 1:
        programs = [c for c in programs if wanted.program in (w.text for w in c.words)] or programs
    if len(programs) > 1:
        seen = ", ".join(short(command.text) for command in programs)
        raise InputError(
            f"{wanted.source}:{place.line}: {place}: the script starts {len(programs)} programs"
            f" ({seen}); an engine of a recipe is one"
        )
    others = [
        command for command in commands if command.words and command.words[0].text != "export"
    ]
    return programs[0] if programs else (others[-1] if others else None)


def _is_program(command: Command) -> bool:
    words = [word.text for word in command.words]
    modules = any(a == "-m" and _MODULE.match(b) for a, b in pairwise(words))
    first = next((word for word in words if word not in _BEFORE_A_COMMAND), "")
    if first in _REASONS:  # printf '%q ' python3 -m dynamo.vllm
        return False
    return modules or first.rsplit("/", 1)[-1] in _COMMANDS


def _apart(words: Sequence[Word]) -> tuple[list[Word], list[Word]]:
    """A command's own words, and the assignments in front of them."""
    at = next(
        (i for i, w in enumerate(words) if not assignment(w) and w.text not in _BEFORE_A_COMMAND),
        len(words),
    )
    return list(words[at:]), [word for word in words[:at] if assignment(word)]


def _unfolded(words: Sequence[Word], at: "_Script", ledger: Ledger) -> Sequence[Word]:
    """A folded text (>) makes a space of each line's end, and a \\ before it part of the next
    flag's name."""
    folded = [word for word in words if word.text.lstrip().startswith("-") and word.text[0] == " "]
    if folded:
        text = (
            "a \\ at the end of a line that YAML folds (>) would be part of the next flag; it is"
            " read as meant"
        )
        ledger.rewrite(text, "", *at.places(folded[0]))
    return [replace(word, text=word.text.lstrip()) if word in folded else word for word in words]


def _pair(word: Word) -> tuple[str, str]:
    return assignment(word) or ("", "")


def _settled(commands: Sequence[Command], chosen: Command | None) -> tuple[Command, ...]:
    """What the program itself waits for with && has run, where the program runs."""
    settled: list[Command] = []
    leads = False
    for command in reversed(commands):
        leads = command is chosen or (leads and command.operator == "&&")
        ran = leads and command is not chosen and command.condition == "&&"
        settled.append(replace(command, condition="") if ran else command)
    return tuple(reversed(settled))


def _exported(command: Command, at: _Script) -> dict[str, Argument]:
    """Variables that the program gets; nobody knows one that a condition decides on."""
    if not command.own or command.own[0].text != "export":
        return {}
    doubt = (command.text,) if command.condition else ()
    pairs = [(assignment(word), word) for word in command.own[1:]]
    return {
        pair[0]: Argument(pair[1], at.places(word), (*word.unknown, *doubt))
        for pair, word in pairs
        if pair
    }


@dataclass(frozen=True, slots=True)
class _Reporter:
    """Says of every command of a script, but the chosen one, what becomes of it."""

    script: _Script
    ledger: Ledger

    def report(self, commands: Sequence[Command], chosen: Command | None) -> None:
        before = ""
        for command in commands:
            writes = any(is_heredoc(redirection) for redirection in command.redirections)
            if command is not chosen and command.own and not writes:
                self._say(command, before)
            self._say_redirections(command)
            before = command.operator

    def _say_redirections(self, command: Command) -> None:
        places = self.script.places(command.words[0] if command.words else Word(""))
        if any(is_heredoc(redirection) for redirection in command.redirections):
            text = short(" ".join((command.text, *command.redirections)))
            self.ledger.ask(
                f"{text}: the script writes it; the hosts need the file", "runtime.setup", *places
            )
            return
        for redirection in command.redirections:
            self.ledger.leave(
                f"{short(redirection)}: dsr1 keeps every process's log (dsr1 logs)", *places
            )

    def _say(self, command: Command, before: str) -> None:
        first, text, places = (
            command.own[0].text,
            short(command.text),
            self.script.places(command.words[0]),
        )
        if first == "export" and not command.condition:
            return
        if first == "export" or all(assignment(word) for word in command.own):
            self._say_variable(text, command.condition, places)
        elif before == "|":
            self.ledger.leave(f"| {text}: dsr1 keeps every process's log (dsr1 logs)", *places)
        elif first in _REASONS:
            self.ledger.leave(f"{text}: {_REASONS[first]}", *places)
        else:
            wish = "if the hosts need it too, put it into runtime.setup"
            self.ledger.ask(
                f"{text}: ran in the container beside the worker; {wish}", "runtime.setup", *places
            )

    def _say_variable(self, text: str, condition: str, places: tuple[Place, ...]) -> None:
        if condition:
            self.ledger.ask(
                f"{text}: hangs on a condition ({condition}), which only a run decides", "", *places
            )
        else:
            self.ledger.leave(f"{text}: a variable of the script alone", *places)


def unfit(text: str) -> str:
    """Why a text can't be an argument or a variable of a process on Linux; nothing where it can."""
    if "\0" in text:
        return "a NUL byte"
    return f"more than {LONGEST_TEXT} bytes" if len(text.encode()) >= LONGEST_TEXT else ""


def short(text: str, longest: int = 60) -> str:
    """A text of the manifest for a message: quoted, without secrets, and not longer than a line can
    bear."""
    text = conceal(text)
    return repr(text if len(text) <= longest else f"{text[:longest]}...")
