"""Runs on this machine."""

import sys
from collections.abc import Sequence

from dsr1.hosts.transport.base import Transport
from dsr1.launcher.run.backend import LaunchRequest
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.supervised import SupervisedBackend
from dsr1.launcher.run.transport import transport_to


class LocalBackend(SupervisedBackend):
    """Agents beside their supervisor."""

    def prepare(self, request: LaunchRequest, checks: Sequence[str], run: Run) -> None:
        # What asks whether it lives needs no checks.
        from dsr1.launcher.run.assets import place_assets
        from dsr1.launcher.run.prepare import plan_run, survey_local

        survey = survey_local(request.recipe, checks)
        plan_run(run, request.recipe, survey, checks)
        place_assets(request.recipe, survey, run.folder)

    def transport(self, run: Run) -> Transport:
        """Any Python stops and inspects agents."""
        return transport_to(run, (), sys.executable)
