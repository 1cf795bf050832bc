"""Notes on stderr, since what a verb prints may be a script."""

import sys
from collections.abc import Iterable, Mapping

from dsr1.launcher.batch.script import unused_spares
from dsr1.launcher.plan.plan import OPEN_FRONTEND, Plan
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.recipe.paths import LocalPath


def note_unused_spares(recipe: Recipe) -> None:
    if note := unused_spares(recipe):
        print(f"dsr1: note: {note}", file=sys.stderr)


def note_allocation(env: Mapping[str, str]) -> None:
    """Inside of salloc a plain launch is for this machine, which may be the login node."""
    nodes = env.get("SLURM_JOB_NODELIST", "")
    if nodes and env.get("SLURM_JOB_NUM_NODES", "1") != "1":
        print(
            f"dsr1: note: this is inside of Slurm's job {env.get('SLURM_JOB_ID', '')}, and this"
            f" machine alone is used; --hosts '{nodes}' uses the job's nodes, over SSH",
            file=sys.stderr,
        )


def note_open_frontend(plan: Plan) -> None:
    """The default over several hosts, which nobody may learn of too late."""
    if OPEN_FRONTEND in plan.notes:
        print(f"dsr1: note: {OPEN_FRONTEND}", file=sys.stderr)


def note_local_paths(paths: Iterable[LocalPath]) -> None:
    """For a plan on other hosts: what was made of paths that this machine alone can resolve."""
    for one in paths:
        print(
            f"dsr1: note: {one.key}: {one.written} was made absolute on this machine; every host"
            f" is to have {one.path}",
            file=sys.stderr,
        )
