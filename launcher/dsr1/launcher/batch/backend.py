"""Runs in jobs of Slurm's: the supervisor is the job's batch step."""

import contextlib
from collections.abc import Sequence

from dsr1.hosts.errors import Dsr1Error, HostError, InputError
from dsr1.hosts.inventory.names import name_few
from dsr1.hosts.transport.base import Transport
from dsr1.launcher.batch.jobs import find_job, known_jobs, output_of, state_of_job
from dsr1.launcher.batch.launch import launch_job
from dsr1.launcher.batch.status import STOPPED
from dsr1.launcher.batch.stop import stop_job
from dsr1.launcher.run.backend import (
    Backend,
    LaunchRequest,
    OnDoubt,
    RunStatus,
    planned_processes,
)
from dsr1.launcher.run.state import OnState, RunState
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.transport import step_transport
from dsr1.slurm.nodes import MOST_NAMED, unfit_nodes
from dsr1.slurm.states import ELSEWHERE, JobInfo


class SlurmBackend(Backend):
    """With a job ends its supervisor, and with that all processes: Slurm's answer is enough."""

    def launch(self, request: LaunchRequest, show: OnState) -> Run:
        skip = tuple(f"--skip-check={word}" for word in request.skip)
        options = ("--no-check",) if request.no_check else skip
        return launch_job(request, options, show)

    def state(self, run: Run) -> RunState:
        return _look(run)[0]

    def phases(self, runs: Sequence[Run], doubt: OnDoubt) -> dict[str, str]:
        saved = {run.name: run.state() for run in runs}
        asked = [run for run in runs if run.job() is not None]
        try:
            infos = known_jobs(asked)
            states = {run.name: state_of_job(run, infos.get(run.name)) for run in asked}
        except Dsr1Error as error:
            if going := [name for name, state in saved.items() if not state.ended]:
                doubt(f"{error}; of {name_few(going, MOST_NAMED)} this is what was written last")
            states = {}
        else:
            for words in filter(None, (_elsewhere_note(infos.get(run.name)) for run in asked)):
                doubt(words)
        return {name: state.phase for name, state in (saved | states).items()}

    def status(self, run: Run) -> RunStatus:
        state, info, note = _look(run)
        if not note and state.phase == "failed" and (file := output_of(run)):
            note = f"the job's own output: {file}"
        supervised = not state.ended and state.phase != "queued"
        there = state.serves or state.phase == "suspended"
        alive = planned_processes(run) if there else {}
        note = note or _unfit_note(run, state)
        if info is not None and info.state == STOPPED and not state.ended:
            why = f"job {info.job} is {STOPPED}, and what of it lives can't be told"
            return RunStatus(
                state, supervised, {}, {host: f"{host}: {why}" for host in alive}, note
            )
        return RunStatus(state, supervised, alive, note=note)

    def stop(self, run: Run) -> tuple[str, ...]:
        return stop_job(run)

    def transport(self, run: Run) -> Transport:
        """From outside of the job: each host is asked through a step of its own."""
        settings, allocation = run.settings(), run.allocation()
        python, silent_s = settings.python, settings.lost_s
        return step_transport(run.folder, allocation, python, silent_s, run.name, run.run_id())

    def take_over(self, run: Run) -> None:
        raise InputError(
            f"{run.name}: its supervisor is its job's batch step, and ends with it; launch it anew"
        )


def _unfit_note(run: Run, state: RunState) -> str:
    """Nodes that are out of service: of those that it has, or might get."""
    if state.phase == "queued":
        with contextlib.suppress(HostError, InputError):
            info = known_jobs([run]).get(run.name) if run.job() else None
            unfit = unfit_nodes(f"--partition={info.partition}") if info and info.partition else ()
            return f"nodes that it can't get: {name_few(unfit, MOST_NAMED)}" if unfit else ""
    if state.ended or not run.is_in_job():  # a job writes its nodes down once it runs
        return ""
    nodes = ",".join(place.host for place in run.allocation().places)
    unfit = unfit_nodes(f"--nodes={nodes}")
    return f"Slurm: {name_few(unfit, MOST_NAMED)}" if unfit else ""


def _elsewhere_note(info: JobInfo | None) -> str:
    if info is None or not info.is_elsewhere:
        return ""
    whose = f"the cluster {info.cluster}" if info.state == ELSEWHERE else "another cluster"
    return f"job {info.job} is of {whose}, which isn't asked here; this is what was written last"


def _look(run: Run) -> tuple[RunState, JobInfo | None, str]:
    """How it is, by which word of Slurm's, and a note. A run that isn't known to have a job yet is
    as it was written down."""
    try:
        if find_job(run) is None:
            return run.state(), None, ""
        info = known_jobs([run]).get(run.name)
        return state_of_job(run, info), info, _elsewhere_note(info)
    except (HostError, InputError) as error:
        return run.state(), None, f"{error}; this is what the run's supervisor wrote last"
