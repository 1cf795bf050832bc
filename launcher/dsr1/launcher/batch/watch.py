"""Follow a run's job until it has come to a state."""

import contextlib
import time
from collections.abc import Callable

from dsr1.hosts.errors import HostError
from dsr1.launcher.batch.jobs import known_jobs, state_of_job
from dsr1.launcher.run.state import OnState, RunState
from dsr1.launcher.run.store import Run
from dsr1.slurm.states import JobInfo

POLL_S, ASK_S = 0.1, 2.0
IsDone = Callable[[RunState, JobInfo | None], bool]


def watch_job(run: Run, done: IsDone, show: OnState, seconds: float | None = None) -> RunState:
    """What the supervisor writes is read often; Slurm is asked every few seconds."""
    deadline = None if seconds is None else time.monotonic() + seconds
    known: JobInfo | None = None
    ask_at = 0.0
    while True:
        if time.monotonic() >= ask_at:
            with contextlib.suppress(HostError):  # the job goes on without slurmctld
                known = known_jobs([run]).get(run.name)
            ask_at = time.monotonic() + ASK_S
        state = state_of_job(run, known)
        show(state)
        if done(state, known) or (deadline is not None and time.monotonic() > deadline):
            return state
        time.sleep(POLL_S)
