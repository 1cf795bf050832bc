"""The `dsr1` command: errors to exit codes."""

import errno
import gc
import os
import sys
from collections.abc import Callable, Sequence

from dsr1.hosts.errors import CheckFailed, Dsr1Error, InputError, LaunchFailed, RunNotFound
from dsr1.launcher.cli.verbs import VERBS, render_help
from dsr1.launcher.cli.views.first_words import CLEAR, say_first
from dsr1.launcher.terminal import escaped_output

EXIT_CODES: tuple[tuple[type[Dsr1Error], int], ...] = (
    (InputError, 2),
    (CheckFailed, 3),
    (LaunchFailed, 4),
    (RunNotFound, 5),
)


EVERYWHERE = ("--debug", "--raw")


def exit_code(error: Exception) -> int:
    """The documented exit code of an error; 1 for one that has none. A usage error has its own."""
    own = getattr(error, "exit_code", 1)
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), own)


def own_options_first(words: Sequence[str]) -> list[str]:
    """`VERB --debug` -> `--debug VERB`, `help VERB` -> `VERB --help`. What comes after `--` is
    another command's."""
    own = words[: words.index("--")] if "--" in words else words
    if list(own[:1]) in (["help"], ["version"]):  # as of other commands
        own = [*own[1:], f"--{own[0]}"]
        words = own
    given = [option for option in EVERYWHERE if option in own]
    return [*given, *(word for word in own if word not in EVERYWHERE), *words[len(own) :]]


def main() -> None:
    """Run one verb. A traceback is shown for a bug, or for anything with --debug."""
    os.umask(0o077)  # what dsr1 writes is its user's alone
    _open_closed()
    gc.set_threshold(50_000, 10, 10)  # a verb's imports make many objects, and no garbage
    words = own_options_first(sys.argv[1:])
    if "_DSR1_COMPLETE" in os.environ:
        _complete()
    elif words in (["--help"], ["-h"], []):
        sys.exit(_say(lambda: print(render_help(), end="")))
    if verb := say_first(words, sys.stderr, os.environ):
        _load(verb)
    with escaped_output("--raw" in words[:2]):
        _run(words)


def _open_closed() -> None:
    """A stream that its caller has closed (`>&-`) leads nowhere, and no file gets its number."""
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:
        continue
    os.close(number)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _complete() -> None:
    """Ends this process, where the shell is one that is answered without typer."""
    from dsr1.launcher.cli.completion.answer import answer_shell

    if told := answer_shell(os.environ):
        text, code = told
        print(text)
        sys.exit(code)


def _load(name: str) -> None:
    """A verb's modules, while a terminal shows the first words."""
    from dsr1.launcher.cli.app import load_function

    try:
        load_function(next(verb for verb in VERBS if verb.name == name))
    except KeyboardInterrupt:
        sys.exit("\rdsr1: interrupted")
    sys.stderr.write(CLEAR)
    sys.stderr.flush()


def _run(words: Sequence[str]) -> None:
    import typer  # it alone takes seven times as long as Python itself

    from dsr1.launcher.cli.answers.envelope import ANSWER, wants_json
    from dsr1.launcher.cli.app import app

    ANSWER.forget()  # of an earlier call in this process
    try:
        code = app(list(words), standalone_mode=False, prog_name="dsr1") or 0
    except BrokenPipeError:
        code = _leave_pipe()
    except typer.Abort:
        print("dsr1: interrupted", file=sys.stderr)
        code = 1
    except (Dsr1Error, OSError, _usage_error()) as error:
        if "--debug" in words[:2]:
            raise
        code, message = exit_code(error), describe(error)
        print(message, file=sys.stderr)
        if wants_json():
            ANSWER.fail(message.removeprefix("dsr1: "), code)
    except SystemExit as ended:
        code = ended.code
    _forget_interrupt()
    sys.exit(_say(ANSWER.flush) or code)


def _forget_interrupt() -> None:
    """One that came while a module ran a text (dataclasses do) ends Python with SIGINT later on,
    caught or not, in place of the exit code: until the next text has been run."""
    exec("")


def _say(tell: Callable[[], None]) -> int:
    """The exit code: of a pipe that is closed, or a disk that is full, 1."""
    try:
        tell()
        sys.stdout.flush()
    except BrokenPipeError:
        return _leave_pipe()
    except OSError as error:
        print(f"dsr1: the output can't be written: {error.strerror}", file=sys.stderr)
        return _leave_pipe()
    return 0


def _leave_pipe() -> int:
    """Nobody reads any more; else the interpreter complains once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _usage_error() -> type[Exception]:
    """Of options and words that are none; typer has its own copy of click, without a public
    name."""
    import typer

    return typer.BadParameter.__mro__[1]


def describe(error: Exception) -> str:
    """A usage error knows its verb; a group of verbs without one shows its help."""
    context = getattr(error, "ctx", None)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and not error.filename:
        return f"dsr1: what it says or keeps can't be written: {error.strerror}"
    if context is None:
        return f"dsr1: {error}"
    said = error.format_message()  # type: ignore[attr-defined]
    said = str(said).replace("Input should be", "it must be")
    if type(error).__name__ == "NoArgsIsHelpError":
        return str(said)
    return f"dsr1: {said} (`{context.command_path} --help` shows what there is)"


if __name__ == "__main__":
    main()
