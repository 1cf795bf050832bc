"""What a batch step becomes: hosts from the allocation, checks, then the supervisor, all in this
one process.

`python -m dsr1.launcher.batch.main [--name RUN] [--run-id ID] [--no-check]
[--skip-check CHECK]... SCRIPT`, the recipe on stdin.
"""

import argparse
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from dsr1.hosts.errors import CheckFailed, Dsr1Error, HostError, InputError
from dsr1.launcher.batch.handover import Handover
from dsr1.launcher.batch.hosts import choose_hosts
from dsr1.launcher.batch.script import run_job_name, too_short
from dsr1.launcher.preflight.preflight import choose_checks
from dsr1.launcher.recipe.load import parse_recipe
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.run.assets import upload_assets
from dsr1.launcher.run.prepare import plan_run
from dsr1.launcher.run.signals import interrupted_if
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run, new_run
from dsr1.launcher.run.supervision.messages import StopRequested
from dsr1.launcher.run.supervision.supervisor import Supervisor
from dsr1.launcher.run.transport import queue, step_transport
from dsr1.launcher.terminal import escaped_output
from dsr1.slurm.allocation import Allocation, parse_allocation, refuse_array, restart_count
from dsr1.slurm.handle import JobHandle
from dsr1.slurm.submit import submit

AGAIN_RUN, AGAIN_NUMBER = "DSR1_JOB_RUN", "DSR1_JOB_NUMBER"
WARNED = "the job's time limit is near"
CANCELLED = "Slurm told the job to end"
WHY: dict[int, str] = {
    signal.SIGTERM: CANCELLED,
    signal.SIGINT: "asked to stop",
    signal.SIGUSR1: WARNED,
}


class StopSignals:
    """Signals ask the supervisor to stop, and before there is one they end what is being
    prepared."""

    def __init__(self) -> None:
        self.supervisor: Supervisor | None = None
        self.handover: Handover | None = None
        self._received: set[int] = set()
        for number in WHY:
            signal.signal(number, self._ask)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    @property
    def warned_only(self) -> bool:
        """Nobody wants the end of the deployment, but this job's time is over."""
        return self._received == {signal.SIGUSR1}

    def _ask(self, number: int, _: object) -> None:
        why = WHY[number]
        self._received.add(number)
        if self.supervisor is None:
            raise StopRequested(why)
        if number == signal.SIGUSR1 and self.handover:
            self.handover.begin(self.supervisor, why)
            return
        self.supervisor.request_stop(why)


def enter_run(name: str, recipe: Recipe, allocation: Allocation, run_id: str = "") -> Run:
    """The run that `launch` has made for this job, which has that identity, or one of its own.
    InputError: another run has that name, or the launch took its run back."""
    again = os.environ.get(AGAIN_RUN)
    run = new_run(again or name or f"{recipe.name}-{allocation.job}")
    found = JobHandle(allocation.cluster, allocation.job, allocation.name)
    if run_id:
        _refuse_another_launch(run, run_id)
    if not run.folder.exists():
        run.claim(recipe, "queued")
    elif not again:
        _refuse_anothers(run, found)
    _forget_before(run)
    known = run.job()  # as its launch has told its user, by what squeue knows of the cluster
    same = known is not None and known.job == found.job
    run.save_job(replace(known, name=found.name) if known and same else found)
    run.save_allocation(replace(allocation, step_options=tuple(recipe.slurm.srun)))
    run.save(RunState("starting", time.time()))
    run.save_restarts(restart_count(os.environ))  # from here on its word is of this life
    return run


def _forget_before(run: Run) -> None:
    """What one before it, or itself before a requeue, had registered on one machine: nobody of
    those is there."""
    run.forget_asked_stop()
    shutil.rmtree(run.folder / "discovery")
    (run.folder / "discovery").mkdir()


def _refuse_another_launch(run: Run, run_id: str) -> None:
    if not run.folder.exists():
        raise InputError(
            f"{run.folder}: this job's run is gone: its launch took it back, or the folder of runs"
            " (DSR1_STATE_DIR) is on no file system that login node and nodes share"
        )
    if run.run_id() != run_id:
        raise InputError(f"{run.folder}: it is another launch's run by now, of the same name")


def _refuse_anothers(run: Run, handle: JobHandle) -> None:
    """`launch` may not have written down yet which job it got for its run."""
    waiting = run.job()
    whose = f"job {waiting.job}" if waiting else "no job"
    if (waiting and waiting.job != handle.job) or (
        waiting is None and run.state().phase != "queued"
    ):
        raise InputError(f"--name {run.name}: there is a run of that name, and it is of {whose}")


def serve_in_job(
    run: Run, recipe: Recipe, allocation: Allocation, checks: Sequence[str], ending: StopSignals
) -> None:
    """Until the deployment has ended; the run's state then says how."""
    _refuse_short(recipe, allocation)
    python, silent_s = recipe.runtime.interpreter, recipe.timeouts.lost
    steps = step_transport(run.folder, allocation, python, silent_s, run.name, run.run_id())
    with closing(steps) as transport:
        with interrupted_if(run.is_asked_to_stop):  # a supervisor looks itself
            survey = choose_hosts(recipe, allocation, transport, checks)
            upload_assets(recipe, survey, transport)
            plan_run(run, recipe, survey, checks)
        ending.supervisor = Supervisor(run, transport)
        ending.supervisor.supervise()


def _refuse_short(recipe: Recipe, allocation: Allocation) -> None:
    """InputError: its time would be over at once. A slurmctld that doesn't answer says nothing."""
    handle = JobHandle(allocation.cluster, allocation.job, allocation.name)
    with contextlib.suppress(HostError):
        info = queue().look_up([handle]).get(allocation.job)
        if info is not None and (why := too_short(recipe, info)):
            raise InputError(why)


def submit_again(run: Run, allocation: Allocation, number: int) -> None:
    """The same script, as the run's job of that number; the variables of this job aren't for
    the next."""
    run.save(RunState("queued", time.time(), reason=WARNED))
    script = run.script()
    own = {AGAIN_RUN: run.name, AGAIN_NUMBER: str(number)}
    name = run_job_name(run.name, run.run_id())
    try:
        job = submit(script, name, queue(), own, before=allocation.job)
    except (HostError, InputError) as error:
        reason = f"{WARNED}, and it could not be submitted again: {error}"
        run.save(RunState("failed", time.time(), reason=reason, exit_code=4))
        return
    run.save_job(JobHandle(allocation.cluster, job.job, job.name))


def run_in_job(
    run: Run, recipe: Recipe, allocation: Allocation, checks: Sequence[str], ending: StopSignals
) -> int:
    """The job's exit code: 0 when it was asked to stop, else that of the error. In a folder that
    is gone, or another run's by now, since this one was over, nothing is written or read."""
    run_id, end = run.run_id(), None
    try:
        serve_in_job(run, recipe, run.allocation(), checks, ending)
    except StopRequested as asked:
        end = RunState("stopped", time.time(), reason=str(asked))
    except Dsr1Error as error:
        code = 3 if isinstance(error, CheckFailed) else 2 if isinstance(error, InputError) else 4
        end = RunState("failed", time.time(), reason=str(error), exit_code=code)
    if not run.is_still(run_id):
        print(f"{run.folder}: was removed, or is another run's by now", flush=True)
        return end.exit_code if end else 0
    if end is not None:
        run.save(end)
    state, number = run.state(), job_number()
    print(f"{run.name}: {state.phase}: {state.reason}", *state.cause_lines, sep="\n", flush=True)
    followed = ending.handover is not None and ending.handover.is_followed
    only_warned = ending.warned_only and not run.is_asked_to_stop()
    if only_warned and not followed and goes_on(state, number, recipe):
        submit_again(run, allocation, number + 1)
    return run.state().exit_code


def job_number() -> int:
    """Of those that follow each other, from 1 on."""
    return int(os.environ.get(AGAIN_NUMBER, "1"))


def make_handover(run: Run, recipe: Recipe, options: argparse.Namespace) -> Handover | None:
    """None: its successor isn't to be started before its end."""
    if not recipe.slurm.overlap:
        return None
    given = [f"--skip-check={word}" for word in options.skip_check]
    words = tuple(["--no-check"] if options.no_check else given)
    number = job_number()
    own = {AGAIN_NUMBER: str(number + 1), AGAIN_RUN: ""}  # it is a run of its own
    return Handover(run, number, words, recipe.slurm.overlap, own)


def goes_on(state: RunState, number: int, recipe: Recipe) -> bool:
    """Whether the job of that number is followed by another."""
    return state.phase == "stopped" and number <= recipe.slurm.resubmit


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="dsr1.launcher.batch.main")
    parser.add_argument("--name", default="")
    parser.add_argument("--run-id", default="")
    parser.add_argument("--no-check", action="store_true")
    parser.add_argument("--skip-check", action="append", default=[])
    parser.add_argument("script", type=Path)
    options = parser.parse_args(argv)
    ending = StopSignals()
    try:
        recipe = parse_recipe(sys.stdin.read(), "the job's recipe")
        allocation = parse_allocation(os.environ)
        refuse_array(os.environ)
        checks = () if options.no_check else choose_checks((), options.skip_check)
        run = enter_run(options.name, recipe, allocation, options.run_id)
    except Dsr1Error as error:
        print(f"dsr1: {error}", file=sys.stderr)
        return 2
    run.save_script(options.script.read_text(errors="replace"))
    ending.handover = make_handover(run, recipe, options)
    return run_in_job(run, recipe, allocation, checks, ending)


if __name__ == "__main__":
    os.umask(0o077)
    with escaped_output(raw=False):  # a job's output is looked at, too
        sys.exit(main())
