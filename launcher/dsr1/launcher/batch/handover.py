"""A job near its end starts its successor first, and goes on until that serves."""

import sys
import threading
import time
from dataclasses import dataclass, field

from dsr1.hosts.errors import Dsr1Error, InputError
from dsr1.launcher.batch.jobs import job_states
from dsr1.launcher.batch.launch import batch_site, submit_run
from dsr1.launcher.batch.script import render_job
from dsr1.launcher.run.record.sources import read_sources, save_sources
from dsr1.launcher.run.store import Run, new_run
from dsr1.launcher.run.supervision.supervisor import Supervisor

POLL_S, MOST_RUNS = 2.0, 1000


@dataclass(slots=True)
class Handover:
    """Of a run's job of this `number`, which has `overlap_s` left from its warning on. `options`
    are those of its batch step, and of its successor's, which has these `variables`, too.
    `is_followed`: there is one, and no other job has to come after."""

    run: Run
    number: int
    options: tuple[str, ...]
    overlap_s: float
    variables: dict[str, str] = field(default_factory=dict)
    is_followed: bool = False
    _begun: bool = False

    def begin(self, supervisor: Supervisor, warned: str) -> None:
        """Beside the supervisor, once; a second warning changes nothing."""
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._hand_over, args=(supervisor, warned), daemon=True).start()

    def _hand_over(self, supervisor: Supervisor, warned: str) -> None:
        """What can't be submitted leaves the deployment to serve for as long as it may."""
        until = time.monotonic() + self.overlap_s
        successor = self._submit()
        if successor and self._await(successor, until):
            drain_s = self.run.settings().drain_s  # clients turn to the other one meanwhile
            time.sleep(max(0.0, min(drain_s, until - time.monotonic())))
            supervisor.request_stop(f"handed over to {successor.name}")
            return
        time.sleep(max(0.0, until - time.monotonic()))
        supervisor.request_stop(warned)

    def _submit(self) -> Run | None:
        """Its run is written down first: whoever stops this one finds it."""
        recipe = self.run.recipe()
        if self.number > recipe.slurm.resubmit:
            return None
        try:
            successor = claim_successor(self.run)
            site, identity = batch_site(), successor.run_id()
            script = render_job(recipe, site, successor.name, self.options, identity)
            submit_run(successor, script, self.variables)
        except (Dsr1Error, OSError) as error:
            print(f"its successor could not be submitted: {error}", file=sys.stderr, flush=True)
            return None
        self.is_followed = True
        return successor

    def _await(self, successor: Run, until: float) -> bool:
        """Whether it serves in time."""
        while time.monotonic() < until:
            try:
                state = job_states([successor])[successor.name]
            except (Dsr1Error, OSError):
                state = None  # slurmctld is down for a while
            if state and (state.serves or state.ended):
                self.is_followed = not state.ended
                return state.serves
            time.sleep(POLL_S)
        return False


def claim_successor(run: Run) -> Run:
    """A run of its own, with the next name that is free. InputError: there is none."""
    stem, dash, count = run.name.rpartition("-")
    numbered = bool(dash) and count.isdecimal() and run.predecessor() is not None
    name, first = (stem, int(count) + 1) if numbered else (run.name, 2)
    for number in range(first, first + MOST_RUNS):
        successor = new_run(f"{name}-{number}")
        if not successor.folder.exists():
            successor.claim(run.recipe(), "queued")
            save_sources(successor, read_sources(run))
            successor.save_predecessor(run.name)
            run.save_successor(successor.name)
            return successor
    raise InputError(f"{run.name}: no name is free for its successor")
