"""The `dsr1` command: its verbs, and errors to exit codes."""

import gc
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from dsr1.hosts.errors import CheckFailed, Dsr1Error, InputError, LaunchFailed, RunNotFound
from dsr1.launcher.cli.adopt import adopt
from dsr1.launcher.cli.cache import app as cache
from dsr1.launcher.cli.check import check
from dsr1.launcher.cli.exec import exec_
from dsr1.launcher.cli.import_ import import_
from dsr1.launcher.cli.launch import launch
from dsr1.launcher.cli.model import model
from dsr1.launcher.cli.plan import plan
from dsr1.launcher.cli.prep import prep
from dsr1.launcher.cli.prewarm import prewarm
from dsr1.launcher.cli.recipes import recipes
from dsr1.launcher.cli.render import render
from dsr1.launcher.cli.runs import logs, ps, status, stop, supervise
from dsr1.launcher.cli.smoke import smoke
from dsr1.launcher.cli.why import why

EXIT_CODES: tuple[tuple[type[Dsr1Error], int], ...] = (
    (InputError, 2),
    (CheckFailed, 3),
    (LaunchFailed, 4),
    (RunNotFound, 5),
)

app = typer.Typer(
    name="dsr1",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for verb in (
    recipes,
    plan,
    check,
    prep,
    prewarm,
    render,
    launch,
    ps,
    status,
    logs,
    smoke,
    stop,
    supervise,
    adopt,
    why,
):
    app.command()(verb)
app.command("exec")(exec_)
app.command("import")(import_)
app.add_typer(cache, name="cache")
app.add_typer(model, name="model")


def exit_code(error: Dsr1Error | OSError) -> int:
    """The documented exit code of an error; 1 for one that has none."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)


def _print_version(wanted: bool) -> None:
    from importlib.metadata import version

    if wanted:
        print(f"dsr1 {version('dsr1')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show an error's traceback.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show dsr1's version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """DeepSeek-R1 on bare Hopper hosts: plan, launch, watch, stop."""


def debug_first(words: Sequence[str]) -> list[str]:
    """`VERB --debug` -> `--debug VERB`. What stands behind `--` is another command's."""
    own = words[: words.index("--")] if "--" in words else words
    others = [word for word in own if word != "--debug"]
    return [*(["--debug"] if len(others) < len(own) else []), *others, *words[len(own) :]]


def main() -> None:
    """Run one verb. A traceback is shown for a bug, or for anything with --debug."""
    os.umask(0o077)  # what dsr1 writes is its user's alone
    gc.set_threshold(50_000, 10, 10)  # a verb's imports make many objects, and no garbage
    words = debug_first(sys.argv[1:])
    try:
        app(words)
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # else the interpreter complains once more
        sys.exit(1)
    except (Dsr1Error, OSError) as error:
        if words[:1] == ["--debug"]:
            raise
        print(f"dsr1: {error}", file=sys.stderr)
        sys.exit(exit_code(error))


if __name__ == "__main__":
    main()
