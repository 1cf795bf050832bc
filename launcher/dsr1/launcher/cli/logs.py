"""`dsr1 logs`: what every process of a run has logged."""

from dsr1.launcher.cli.options.common import Follow, RunName
from dsr1.launcher.cli.views.ranks import print_logs
from dsr1.launcher.operate.status import find_any, refuse_unplanned


def logs(
    run: RunName = None,
    follow: Follow = False,
) -> None:
    """Print the logs of every process of a run.

    Each line begins with the name of its process.
    """
    found = find_any(run)
    refuse_unplanned(found)
    print_logs(found, follow)
