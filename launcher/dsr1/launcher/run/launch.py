"""Start runs and follow them until they serve: the edge where a plan becomes processes."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from dsr1.hosts.errors import CheckFailed, InputError, LaunchFailed
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.inventory.parse import parse_hosts
from dsr1.hosts.transport.connect import over_ssh
from dsr1.launcher.plan.plan import Plan, make_plan
from dsr1.launcher.preflight.preflight import extras_of, refuse_unfit
from dsr1.launcher.preflight.survey import Survey, survey_here, survey_hosts
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.run.assets import place_assets, upload_assets
from dsr1.launcher.run.signals import deferred_interrupt
from dsr1.launcher.run.stop import POLL_S, stop_run
from dsr1.launcher.run.store import Run, RunSecrets, RunSettings, RunState, new_run


def prepare_run(
    run: Run, recipe: Recipe, accesses: tuple[Access, ...], checks: Sequence[str]
) -> None:
    """Take the name, judge the hosts, write the run down. What fails or is interrupted here leaves
    no run.

    Until there is a supervisor this process stands for it: `stop` ends a launch that is still
    asking.
    """
    with ExitStack() as undo:
        with deferred_interrupt(), run.written_whole():
            run.claim(recipe, "starting")
            undo.callback(run.discard)
            run.record_supervisor(os.getpid())
        site = _see_site(recipe, accesses, checks)
        plan = make_plan(recipe, site.hosts, run.name, str(run.folder), site.facts, run.run_id())
        with run.written_whole():
            run.fill(plan, make_settings(recipe, site, checks), make_run_secrets(plan, site))
        if not accesses:
            place_assets(recipe, site, run.folder)
        undo.pop_all()


def _see_site(recipe: Recipe, accesses: tuple[Access, ...], checks: Sequence[str]) -> Survey:
    """Reach every host before anything is written down, and bring them what they may need. Judged
    if checks say so."""
    if not accesses:
        site = survey_here(recipe, extras_of(checks))
        _refuse(recipe, site, checks)
        return site
    spares = spares_of(recipe, accesses)
    with over_ssh((*accesses, *spares), recipe.runtime.interpreter) as transport:
        site = survey_hosts(recipe, accesses, spares, transport, extras_of(checks))
        _refuse(recipe, site, checks)
        upload_assets(recipe, site, transport)
        return site


def spares_of(recipe: Recipe, accesses: Sequence[Access]) -> tuple[Access, ...]:
    """Reached as the hosts are. InputError for one that is a host already."""
    if not recipe.spares:
        return ()
    spares = parse_hosts(",".join(recipe.spares), accesses[0].accept_new_key, "spares")
    names = {access.name for access in accesses}
    if doubles := [spare.name for spare in spares if spare.name in names]:
        raise InputError(
            f"spares: {', '.join(doubles)}: named in --hosts, too; a spare waits beside them"
        )
    return spares


def _start_supervisor(run: Run, *more: str) -> None:
    """One that can't be recorded is ended: LaunchFailed. It imports nothing (-P) from where the
    user stands."""
    argv = [sys.executable, "-P", "-m", "dsr1.launcher.run.supervisor", str(run.folder), *more]
    try:
        with (run.folder / "supervisor.log").open("ab") as log, deferred_interrupt():
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
            try:
                run.record_supervisor(child.pid)
            except OSError:
                child.kill()
                child.wait()
                raise
    except OSError as error:
        raise LaunchFailed(
            f"{run.folder}: no supervisor can be started: {error.strerror}"
        ) from None


def _start_first(run: Run) -> None:
    try:
        _start_supervisor(run)
    except LaunchFailed:
        run.discard()
        raise


def take_over(run: Run) -> None:
    """A new supervisor for agents that run without one.

    Raises InputError when there is nothing to take over, LaunchFailed when the new supervisor is
    gone at once.
    """
    with _one_at_a_time(run):
        _refuse_take_over(run)
        before = run.state().since
        _start_supervisor(run, "--take-over")
    while run.state().since == before:
        if run.supervisor() is None and run.state().since == before:
            raise LaunchFailed(
                f"{run.name}: its new supervisor is gone; {run.folder}/supervisor.log says why"
            )
        time.sleep(POLL_S)


@contextmanager
def _one_at_a_time(run: Run) -> Iterator[None]:
    folder = os.open(run.folder, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _refuse_take_over(run: Run) -> None:
    if run.job():
        raise InputError(
            f"{run.name}: its supervisor is its job's batch step, and ends with it; launch it anew"
        )
    if run.supervisor() is not None:
        raise InputError(
            f"{run.name}: its supervisor lives (pid {run.supervisor()}); there is nothing to take"
            " over"
        )
    if run.state().ended:
        raise InputError(f"{run.name}: has ended ({run.state().phase}); launch it anew")
    if not run.is_planned():
        raise InputError(
            f"{run.name}: its launch ended before anything was started; stop it, and launch it anew"
        )


def _refuse(recipe: Recipe, seen: Survey, checks: Sequence[str]) -> None:
    """What the hosts told is judged, and planned from. Unchecked, a host may tell nothing."""
    if checks:
        refuse_unfit(recipe, seen, checks)


def make_run_secrets(plan: Plan, site: Survey) -> RunSecrets:
    """The secrets that the plan names, and the facts."""
    return RunSecrets(_secrets(plan, site), site.facts)


def _secrets(plan: Plan, site: Survey) -> dict[str, str]:
    if not any(process.secrets for process in plan.processes):
        return {}
    from dsr1.launcher.commands.certificates import make_secrets

    return make_secrets([host.address for host in (*site.hosts, *site.spares)])


def make_settings(recipe: Recipe, site: Survey, checks: Sequence[str]) -> RunSettings:
    limits = recipe.timeouts
    return RunSettings(
        python=recipe.runtime.interpreter,
        prepare_s=limits.prepare,
        ready_s=limits.ready,
        importing_s=limits.importing,
        loading_s=limits.loading,
        compiling_s=limits.compiling,
        chat_s=limits.chat,
        lost_s=limits.lost,
        restarts=recipe.restart.max,
        backoff_s=recipe.restart.backoff,
        hosts=site.accesses,
        machines=site.hosts,
        spares=site.spares,
        checks=tuple(checks),
        within_s=recipe.restart.within,
        orphans=recipe.orphans,
        orphaned_s=limits.orphaned,
        log_most_bytes=recipe.logs.max,
        log_keep=recipe.logs.keep,
    )


def launch_run(
    recipe: Recipe,
    name: str,
    accesses: tuple[Access, ...],
    show: Callable[[RunState], None],
    checks: Sequence[str] = (),
) -> Run:
    """Start a run, on hosts that pass these checks, and show every state until it serves.

    Ctrl-C or failure leaves nothing running, and touches no other run.
    Raises InputError for a name that is taken, LaunchFailed, or CheckFailed when a host isn't fit.
    """
    run = new_run(name)
    try:
        prepare_run(run, recipe, accesses, checks)
    except KeyboardInterrupt:
        raise LaunchFailed(f"{run.name}: interrupted; nothing was started") from None
    try:
        _start_first(run)
        state = _wait(run, ("ready", "stopped", "failed"), show)
    except KeyboardInterrupt:
        left = stop_run(run)
        gone = (
            f"interrupted{_say_left(left)}"
            if left
            else "interrupted; everything that had been started is gone"
        )
        raise LaunchFailed(f"{run.name}: {gone}") from None
    if state.phase == "ready":
        return run
    kind = CheckFailed if state.exit_code == 3 else LaunchFailed
    raise kind(
        f"{run.name}: {state.reason}{_say_left(state.left)}\nlogs: {run.folder}/hosts/*/logs"
    )


def _say_left(left: Sequence[str]) -> str:
    return f"\nMAY STILL RUN: {'; '.join(left)}" if left else ""


def _wait(run: Run, phases: tuple[str, ...], show: Callable[[RunState], None]) -> RunState:
    while True:
        alive, state = run.supervisor(), run.state()
        show(state)
        if state.phase in phases:
            return state
        if alive is None:
            why = f"its supervisor is gone ({run.folder}/supervisor.log)"
            raise LaunchFailed(f"{run.name}: {why}; `dsr1 stop {run.name}` ends what it left")
        time.sleep(POLL_S)
