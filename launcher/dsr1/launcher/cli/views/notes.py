"""Notes on stderr, since what a verb prints may be a script."""

import sys
from collections.abc import Iterable

from dsr1.launcher.batch.script import unused_spares
from dsr1.launcher.plan.plan import OPEN_FRONTEND, Plan
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.recipe.paths import LocalPath


def note_unused_spares(recipe: Recipe) -> None:
    if text := unused_spares(recipe):
        print_note(text)


def print_note(text: str) -> None:
    print(f"dsr1: note: {text}", file=sys.stderr)


def note_open_frontend(plan: Plan) -> None:
    """The default over several hosts, which nobody may learn of too late."""
    if OPEN_FRONTEND in plan.notes:
        print_note(OPEN_FRONTEND)


def note_local_paths(paths: Iterable[LocalPath]) -> None:
    """For a plan on other hosts: what was made of paths that this machine alone can resolve."""
    for one in paths:
        print_note(
            f"{one.key}: {one.written} was made absolute on this machine; every host is to have"
            f" {one.path}"
        )
