"""Notes on stderr, since what a verb prints may be a script."""

import sys
from collections.abc import Iterable

from dsr1.launcher.batch.script import unused_spares
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.recipe.paths import LocalPath


def note_unused_spares(recipe: Recipe) -> None:
    if note := unused_spares(recipe):
        print(f"dsr1: note: {note}", file=sys.stderr)


def note_local_paths(paths: Iterable[LocalPath]) -> None:
    """For a plan on other hosts: what was made of paths that this machine alone can resolve."""
    for one in paths:
        print(
            f"dsr1: note: {one.key}: {one.written} was made absolute on this machine; every host"
            f" is to have {one.path}",
            file=sys.stderr,
        )
