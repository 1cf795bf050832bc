"""Runs on hosts over SSH."""

from collections.abc import Sequence

from dsr1.launcher.run.backend import LaunchRequest
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.supervised import SupervisedBackend


class SshBackend(SupervisedBackend):
    """Agents on other hosts, their supervisor here."""

    def prepare(self, request: LaunchRequest, checks: Sequence[str], run: Run) -> None:
        # What asks whether it lives needs no checks.
        from dsr1.launcher.run.prepare import plan_run, survey_remote

        survey = survey_remote(request.recipe, request.accesses, checks)
        plan_run(run, request.recipe, survey, checks)
