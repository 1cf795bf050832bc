"""A plan's hosts as their agents get them: with who launched the run, and what an agent does when
nobody listens. Pure but for who and where we are."""

import getpass
import socket
from dataclasses import replace

from dsr1.hosts.protocol.process import HostPlan, Origin
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.run.liveness.watching import beat_s
from dsr1.launcher.run.settings import RunSettings


def origin_since(epoch_s: float) -> Origin:
    """Of a run that this user has launched here."""
    return Origin(getpass.getuser(), socket.gethostname(), epoch_s)


def agent_plans(plan: Plan, settings: RunSettings, origin: Origin) -> tuple[HostPlan, ...]:
    return tuple(
        replace(
            host,
            origin=origin,
            beat_s=beat_s(settings.lost_s),
            orphans=settings.orphans,
            orphaned_s=settings.orphaned_s,
            log_most_bytes=settings.log_most_bytes,
            log_keep=settings.log_keep,
        )
        for host in plan.hosts
    )
