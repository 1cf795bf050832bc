"""What becomes of the commands of a script, but for the one that starts the program."""

from collections.abc import Container, Sequence
from dataclasses import replace

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.importing.manifest.ledger import Ledger
from dsr1.launcher.importing.manifest.program import BEFORE_A_COMMAND
from dsr1.launcher.importing.manifest.tree import Place
from dsr1.launcher.importing.shell.script import DECLARATIONS
from dsr1.launcher.importing.shell.secrecy import quoted
from dsr1.launcher.importing.shell.words import ShellCommand, Word, word_texts

_CONTROL = ("set", "shopt", "trap", "wait", "exit", "break", "continue", "true", "false", ":")
_VARIABLES = ("unset", "shift", "read", "mapfile", "readarray", "getopts", "let", "return")
_OUTPUT = ("echo", "printf", "date", "sleep", "env")
_TESTS = ("[", "[[", "test", "for", "case", "select")
_ALONE = "of the script alone"
OF_THE_SCRIPT = {
    "cd": "dsr1 runs in the run's folder",
    "ulimit": "limits are the host's; dsr1 check judges them (sys.memlock, sys.nofile)",
    **dict.fromkeys((*_CONTROL, *_VARIABLES, *_OUTPUT, *_TESTS), _ALONE),
}
"""Commands that do nothing for the program, with the reason."""
_LOGS = "dsr1 keeps every process's log (dsr1 logs)"


@dataclass(frozen=True, slots=True)
class ScriptLocation:
    """Where a script stands; a word of it has the line that it is on."""

    line: int
    around: tuple[Place, ...] = ()

    def places(self, word: Word) -> tuple[Place, ...]:
        script = tuple(replace(place, line=self.line + word.line) for place in self.around[:1])
        return script + self.around[1:]


def note_commands(
    commands: Sequence[ShellCommand],
    chosen: ShellCommand | None,
    environment: Container[str],
    location: ScriptLocation,
    ledger: Ledger,
) -> None:
    """`environment` has the container's own variables, which a script changes for the program."""
    for command in commands:
        places = location.places(command.words[0] if command.words else Word(""))
        if command.writes_file:
            text = quoted(" ".join((command.text, *command.redirections)))
            text = f"{text}: the script writes a file, which the hosts need"
            ledger.ask(text, "runtime.setup", *places)
            continue
        if command is not chosen and command.words and not _exports_only(command, environment):
            _note(command, places, ledger)
        for redirection in command.redirections:
            ledger.leave(f"{quoted(redirection)}: {_LOGS}", *places)


def _is_assignment(command: ShellCommand) -> bool:
    is_declaration = command.words[0].text in DECLARATIONS
    return is_declaration or len(command.changes) == len(command.words)


def _runs(words: Sequence[str]) -> str:
    """What a command runs: `env -u A B=1 python3 -m x` is python3's."""
    left = list(words)
    while left and _is_before(left[0], words[0]):
        left = left[2:] if left[0] in _WITH_A_VALUE else left[1:]
    return left[0] if left else words[0]


def _is_before(word: str, first: str) -> bool:
    if word in BEFORE_A_COMMAND:
        return True
    return first in BEFORE_A_COMMAND and (word.startswith("-") or "=" in word)


_WITH_A_VALUE = ("-u", "--unset", "-C", "--chdir", "-a", "-f", "-o")
"""Of `env`, `exec` and `time`."""


def _exports_only(command: ShellCommand, environment: Container[str]) -> bool:
    """Whether all that it does reaches the program."""
    if word_texts(command.words) == ["exec"]:  # it redirects the script's own output
        return True
    if command.condition or not _is_assignment(command):
        return False
    if command.words[0].text == "export":
        return True
    changes = command.changes
    return bool(changes) and all(c.exported or c.name in environment for c in changes)


def _note(command: ShellCommand, places: tuple[Place, ...], ledger: Ledger) -> None:
    first, text = _runs(word_texts(command.words)), quoted(command.text)
    if command.condition and (command.changes or _is_assignment(command)):
        text = f"{text}: depends on a condition ({command.condition}), which only a run decides"
        ledger.ask(text, "", *places)
    elif _is_assignment(command):
        ledger.leave(f"{text}: a variable of the script alone", *places)
    elif command.is_piped:
        ledger.leave(f"| {text}: {_LOGS}", *places)
    elif first in OF_THE_SCRIPT or first.startswith("(("):
        ledger.leave(f"{text}: {OF_THE_SCRIPT.get(first, _ALONE)}", *places)
    else:
        text = f"{text}: ran in the container beside the worker; if the hosts need it, too, put it"
        ledger.ask(f"{text} into runtime.setup", "runtime.setup", *places)
