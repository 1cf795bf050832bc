"""Runs in an allocation that their user has already, by salloc say: its nodes, until its end. It is
left alone: other work may be in it."""

import contextlib
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from dsr1.hosts.errors import Dsr1Error, InputError
from dsr1.launcher.batch.hosts import choose_hosts
from dsr1.launcher.batch.jobs import known_jobs
from dsr1.launcher.batch.status import clock_text, conclude_lent
from dsr1.launcher.preflight.survey_result import Survey
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.run.assets import upload_assets
from dsr1.launcher.run.backend import LaunchRequest, OnDoubt, RunStatus, planned_processes
from dsr1.launcher.run.prepare import plan_run
from dsr1.launcher.run.recovery import is_over
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.stop import close_run, end_hosts, end_supervisor
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.supervised import (
    SupervisedBackend,
    elsewhere_note,
    supervised_phase,
    supervised_state,
)
from dsr1.launcher.run.transport import queue, step_transport
from dsr1.launcher.state_folder import state_folder
from dsr1.slurm.allocation import Allocation
from dsr1.slurm.handle import JobHandle
from dsr1.slurm.states import JobInfo


class AllocationBackend(SupervisedBackend):
    """Agents in steps of the allocation; their supervisor here. With the streams of its steps end
    the agents, so that nothing outlives it."""

    def prepare(self, request: LaunchRequest, checks: Sequence[str], run: Run) -> None:
        assert request.allocation is not None
        recipe = request.recipe
        info = find_lent_job(request.allocation, fresh=False)  # `describe_lent` has just asked
        refuse_late(recipe, info, time.time())
        lent = lend(request.allocation, recipe)
        run.save_allocation(lent)  # first: a run with a job of its own has that cancelled
        run.save_job(replace(info.handle, name=""))  # its user may rename it
        python, silent_s = recipe.runtime.interpreter, recipe.timeouts.lost
        steps = step_transport(run.folder, lent, python, silent_s, run.name, run.run_id())
        with closing(steps) as transport:
            survey = choose_hosts(recipe, lent, transport, checks)
            upload_assets(recipe, survey, transport)
        plan_run(run, recipe, survey, checks)

    def state(self, run: Run) -> RunState:
        return _lent_states([run])[run.name][1]

    def phases(self, runs: Sequence[Run], doubt: OnDoubt) -> dict[str, str]:
        return {name: supervised_phase(*found) for name, found in _lent_states(runs).items()}

    def status(self, run: Run) -> RunStatus:
        supervised, state = _lent_states([run])[run.name]
        alive = planned_processes(run) if supervised and state.serves else {}
        return RunStatus(state, supervised, alive, note=elsewhere_note(run, state))

    def stop(self, run: Run) -> tuple[str, ...]:
        """The supervisor proves the end. Where it was gone, or its allocation, steps prove it, or
        there are no processes of a job any more."""
        remains = end_supervisor(run)
        if not run.is_still(remains.run_id):  # a launch that still asked its hosts
            return ()
        if is_over(run) or _has_no_job(run):
            close_run(run, remains.run_id)
            return ()
        return end_hosts(run, remains)

    def take_over(self, run: Run) -> None:
        raise InputError(
            f"{run.name}: its agents end with their supervisor, by the streams of its steps; launch"
            " it anew"
        )


def lend(allocation: Allocation, recipe: Recipe) -> Allocation:
    return replace(allocation, is_lent=True, step_options=tuple(recipe.slurm.srun))


def find_lent_job(allocation: Allocation, fresh: bool = True) -> JobInfo:
    """`fresh`: not by an answer from before now. InputError: what the environment tells of is over,
    or not this user's. HostError: Slurm doesn't answer."""
    handle = JobHandle(allocation.cluster, allocation.job)
    info = queue().look_up([handle], fresh).get(allocation.job)
    if info is None or info.over or info.waits:
        how = info.state if info else "not known to Slurm as yours"
        raise InputError(
            f"SLURM_JOB_ID={allocation.job}: that job is {how}; `unset SLURM_JOB_ID` launches on"
            " this machine, --hosts over SSH, --slurm in a job of its own"
        )
    return info


def refuse_late(recipe: Recipe, info: JobInfo, now: float) -> None:
    """InputError: it would stop at once."""
    left_s = info.left_s(now)
    if left_s <= recipe.slurm.warn:
        raise InputError(
            f"job {info.job} ends in {max(0, left_s):.0f} s, and the deployment stops slurm.warn,"
            f" {recipe.slurm.warn} s, before that: salloc with more --time"
        )


def survey_lent(recipe: Recipe, allocation: Allocation, checks: Sequence[str]) -> Survey:
    """For a plan that nothing comes of."""
    refuse_late(recipe, find_lent_job(allocation), time.time())
    lent, limits = lend(allocation, recipe), recipe.timeouts
    state_folder().mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=state_folder()) as folder:
        python = recipe.runtime.interpreter
        steps = step_transport(Path(folder), lent, python, limits.lost, "dry-run", "")
        with closing(steps) as transport:
            return choose_hosts(recipe, lent, transport, checks)


def describe_lent(allocation: Allocation) -> str:
    """For whoever launches in it, before hosts are asked."""
    info = find_lent_job(allocation)
    until = f" until its end, {clock_text(info.end)}" if info.end else ""
    nodes = info.nodes or ", ".join(place.host for place in allocation.places)
    return (
        f"inside of Slurm's job {allocation.job}: launched on its nodes, {nodes},{until}; `dsr1"
        " stop` leaves the job alone"
    )


def _lent_states(runs: Sequence[Run]) -> dict[str, tuple[bool, RunState]]:
    """By name, as `supervised_state`. Where Slurm doesn't answer, they are what the runs wrote
    down."""
    infos: Mapping[str, JobInfo] = {}
    with contextlib.suppress(Dsr1Error):
        infos = known_jobs([run for run in runs if run.job() is not None])
    found, now = {}, time.time()
    for run in runs:
        supervised, state = supervised_state(run)
        found[run.name] = supervised, conclude_lent(state, infos.get(run.name), now)
    return found


def _has_no_job(run: Run) -> bool:
    """With a job end its processes."""
    try:
        info = known_jobs([run]).get(run.name)
    except Dsr1Error:
        return False
    return info is None or info.over
