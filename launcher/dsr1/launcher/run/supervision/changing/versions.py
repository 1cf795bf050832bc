"""What a run is before and after a change of its plan."""

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.run.settings import RunSettings


@dataclass(frozen=True, slots=True)
class RunVersion:
    """`recipe` as JSON."""

    recipe: str
    settings: RunSettings
    plan: Plan


@dataclass(frozen=True, slots=True)
class ChangeGoal:
    before: RunVersion
    after: RunVersion
