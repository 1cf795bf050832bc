"""The start before a run's: of the same recipe, on this machine's record."""

from dsr1.hosts.errors import LaunchFailed
from dsr1.launcher.report.timeline import Timeline, make_timeline
from dsr1.launcher.run.record.starts import read_phases
from dsr1.launcher.run.store import Run, list_runs


def earlier_start(run: Run, now: Timeline) -> tuple[str, Timeline] | None:
    """The run's name, and its last start that became ready before this one began."""
    recipe = _recipe_of(run)
    for other in reversed(list_runs()):
        if other.name == run.name or not recipe or _recipe_of(other) != recipe:
            continue
        found = make_timeline(read_phases(other))
        if found and found.ready and found.began < now.began:
            return other.name, found
    return None


def _recipe_of(run: Run) -> str:
    try:
        return run.plan().recipe
    except LaunchFailed:
        return ""
