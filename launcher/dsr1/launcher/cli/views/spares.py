"""A note on stderr, since what a verb prints may be a script."""

import sys

from dsr1.launcher.batch.script import unused_spares
from dsr1.launcher.recipe.models import Recipe


def note_unused_spares(recipe: Recipe) -> None:
    if note := unused_spares(recipe):
        print(f"dsr1: note: {note}", file=sys.stderr)
