"""The `dsr1` command: errors to exit codes."""

import gc
import os
import sys
from collections.abc import Sequence

from dsr1.hosts.errors import CheckFailed, Dsr1Error, InputError, LaunchFailed, RunNotFound
from dsr1.launcher.cli.verbs import render_help
from dsr1.launcher.terminal import escaped_output

EXIT_CODES: tuple[tuple[type[Dsr1Error], int], ...] = (
    (InputError, 2),
    (CheckFailed, 3),
    (LaunchFailed, 4),
    (RunNotFound, 5),
)


EVERYWHERE = ("--debug", "--raw")


def exit_code(error: Dsr1Error | OSError) -> int:
    """The documented exit code of an error; 1 for one that has none."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)


def own_options_first(words: Sequence[str]) -> list[str]:
    """`VERB --debug` -> `--debug VERB`. What comes after `--` is another command's."""
    own = words[: words.index("--")] if "--" in words else words
    given = [option for option in EVERYWHERE if option in own]
    return [*given, *(word for word in own if word not in EVERYWHERE), *words[len(own) :]]


def main() -> None:
    """Run one verb. A traceback is shown for a bug, or for anything with --debug."""
    os.umask(0o077)  # what dsr1 writes is its user's alone
    gc.set_threshold(50_000, 10, 10)  # a verb's imports make many objects, and no garbage
    words = own_options_first(sys.argv[1:])
    if words == ["--help"]:
        print(render_help(), end="")
        sys.exit()
    with escaped_output("--raw" in words[:2]):
        _run(words)


def _run(words: Sequence[str]) -> None:
    from dsr1.launcher.cli.app import app  # typer alone takes seven times as long as Python itself

    try:
        app(list(words))
    except BrokenPipeError:
        # else the interpreter complains once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (Dsr1Error, OSError) as error:
        if "--debug" in words[:2]:
            raise
        print(f"dsr1: {error}", file=sys.stderr)
        sys.exit(exit_code(error))


if __name__ == "__main__":
    main()
