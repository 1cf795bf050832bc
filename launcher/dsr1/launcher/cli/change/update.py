"""`dsr1 update`: another recipe, while the run serves."""

import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.launcher.cli.change.options import NewHostOptions, RunArgument
from dsr1.launcher.cli.options.recipe import RecipeName, RecipeOptions
from dsr1.launcher.cli.views.ages import age_text
from dsr1.launcher.cli.views.changes import NOTHING, print_change, put_change
from dsr1.launcher.commands.rehearsal import rehearse
from dsr1.launcher.lifecycle.changes import ADD, REMOVE, STOP
from dsr1.launcher.operate.status import find_any
from dsr1.launcher.operate.updating import Update, plan_update, want_update

Yes = Annotated[bool, typer.Option("--yes", help="Go on without asking.")]


@dataclass(frozen=True, slots=True)
class NamedRecipeOptions(RecipeOptions):
    """A deployment is given no recipe that nobody has named."""

    recipe: RecipeName


def update(
    run: RunArgument, recipe: NamedRecipeOptions, hosts: NewHostOptions, yes: Yes = False
) -> None:
    """Give a run that serves another recipe, engine by engine.

    Shows what changes and what is started anew, and asks before it goes on. Each engine finishes
    its requests (recipe timeouts.drain), and is asked before the next one's turn; where a host is
    free, the new one serves before the old one goes. The first that doesn't serve undoes all of it,
    with exit code 4.
    """
    found = find_any(run)
    loaded = recipe.load(elsewhere=found.is_remote())
    if found.recipe().traits.simulated:  # a rehearsal stays one
        loaded = rehearse(loaded)
    planned = plan_update(found, loaded, hosts.accesses())
    if not planned.differences and not planned.steps:
        put_change(found, NOTHING)
        print(f"{found.name}: is so already")
        return
    for line in difference_lines(planned):
        print(line)
    _confirm(yes)
    change = want_update(found, planned, f"dsr1 update {recipe.recipe}")
    print_change(found, change, planned.differences)
    print(f"{found.name}: is as the recipe says")


def difference_lines(planned: Update) -> Iterator[str]:
    for one in planned.differences:
        yield f"{one.key}: {one.before or 'not set'} -> {one.after or 'not set'}"
    for step in planned.steps:
        if step.what == STOP:
            alone = "; nothing else serves in its place meanwhile" * (step.engine in planned.alone)
            yield f"{step.engine} is started anew{alone}"
        elif step.what in (ADD, REMOVE):
            yield f"{step.engine} {'comes' if step.what == ADD else 'goes'}"
    yield _duration(planned)


def _duration(planned: Update) -> str:
    if not planned.steps:
        return "nothing is started anew"
    if not planned.start_s or not planned.starts:
        return f"{planned.starts} starts"
    starts = "one start" if planned.starts == 1 else f"{planned.starts} starts"
    return (
        f"{starts}, {age_text(planned.start_s * planned.starts)} if each takes as long as the last"
    )


def _confirm(yes: bool) -> None:
    """Typer's Abort, exit code 1: no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError(
            "nobody can be asked for confirmation (no terminal): nothing was changed; --yes goes on"
            " without asking"
        )
    typer.confirm("Go on?", abort=True)
