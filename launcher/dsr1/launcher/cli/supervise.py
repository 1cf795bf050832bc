"""`dsr1 supervise`: a new supervisor for a run that has lost its own."""

from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.options.common import RunName
from dsr1.launcher.operate.status import find_any, take_over_any


def supervise(run: RunName = None) -> None:
    """Take over a run whose supervisor is gone.

    Its processes have gone on running; from now on they are watched again.
    """
    found = find_any(run)
    take_over_any(found)
    ANSWER.put("supervised-run", {"run": found.name, "phase": found.state().phase})
    print(f"{found.name}: {found.state().phase}, supervised again")
