"""The typer application: dsr1's own options, and groups of verbs."""

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from dsr1.launcher.cli.answers.with_json import with_json
from dsr1.launcher.cli.options.bundles import spread_bundles
from dsr1.launcher.cli.verbs import ABOUT, OPTIONS, VERBS, Verb, render_help

ROOM = "dsr1.launcher.cli"
HELP = {"help_option_names": ["-h", "--help"]}


# Since 0.26 typer carries its own copy of click, so click's types have no public name: hence Any.
class VerbGroup(TyperGroup):
    """Imports a verb's module only to call or to explain it.

    Its `commands` are outlines, names and help from the table: enough for the group's own help, for
    completion and for suggestions.
    """

    def __init__(self, verbs: tuple[Verb, ...] = VERBS, **attrs: Any) -> None:
        outlines = {verb.name: TyperCommand(verb.name, help=verb.help) for verb in verbs}
        super().__init__(**{**attrs, "commands": outlines})
        self._verbs = {verb.name: verb for verb in verbs}

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        verb = self._verbs.get(cmd_name)
        return load_command(verb) if verb else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        self._outline().format_commands(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        outline = self._outline()
        context = type(ctx)(outline, parent=ctx.parent, info_name=ctx.info_name)
        return outline.shell_complete(context, incomplete)

    def _outline(self) -> TyperGroup:
        outlines = dict(self.commands)
        return TyperGroup(name=self.name, commands=outlines, params=self.params)


def load_command(verb: Verb) -> Any:
    """The command that typer makes of a verb's function, or the group of its verbs."""
    if verb.verbs:
        return VerbGroup(
            verb.verbs,
            name=verb.name,
            help=verb.help,
            no_args_is_help=True,
            rich_markup_mode=None,
            context_settings=HELP,
        )
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(verb.name, context_settings=HELP)(with_json(spread_bundles(load_function(verb))))
    return typer.main.get_command(app)


def load_function(verb: Verb) -> Any:
    module, _, name = verb.target.partition(":")
    return getattr(import_module(f"{ROOM}.{module}"), name)


class RootGroup(VerbGroup):
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """A name before its verb is told the other way round."""
        if args[0] not in self._verbs and (verb := "".join(args[1:2])) in self._verbs:
            ctx.fail(f"{args[0]!r} is no command. Did you mean `dsr1 {verb} {args[0]}`?")
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(render_help())


app = typer.Typer(
    name="dsr1",
    context_settings=HELP,
    cls=RootGroup,
    help=ABOUT,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # 20 ms that no other call should pay

        print(f"dsr1 {version('dsr1')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help=dict(OPTIONS)["--debug"])] = False,
    raw: Annotated[bool, typer.Option("--raw", help=dict(OPTIONS)["--raw"])] = False,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version",
            help=dict(OPTIONS)["--version"],
            callback=_print_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    pass
