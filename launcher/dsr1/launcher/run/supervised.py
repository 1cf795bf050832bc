"""What the backends share whose supervisor is a process of this machine."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from dsr1.hosts.errors import HostError
from dsr1.hosts.transport.base import Transport
from dsr1.launcher.run import spawn
from dsr1.launcher.run.backend import Backend, LaunchRequest, OnDoubt, RunStatus
from dsr1.launcher.run.record.sources import save_sources
from dsr1.launcher.run.state import ABANDONED, UNSUPERVISED, OnState, RunState
from dsr1.launcher.run.stop import look_at_hosts, stop_run
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.transport import transport_to


class SupervisedBackend(Backend):
    """Here or over SSH, they differ in how hosts are surveyed and reached."""

    @abstractmethod
    def prepare(self, request: LaunchRequest, checks: Sequence[str], run: Run) -> None:
        """Survey and judge the hosts, and write the plan down."""

    def launch(self, request: LaunchRequest, show: OnState) -> Run:
        # What asks whether it lives needs neither recipes nor checks.
        from dsr1.launcher.preflight.preflight import choose_checks
        from dsr1.launcher.run.launch import launch_run

        checks = () if request.no_check else choose_checks((), request.skip)

        def prepare(run: Run) -> None:
            save_sources(run, request.sources)
            self.prepare(request, checks, run)

        return launch_run(request.recipe, request.name, prepare, show)

    def state(self, run: Run) -> RunState:
        return run.state()

    def phases(self, runs: Sequence[Run], doubt: OnDoubt) -> dict[str, str]:
        return {run.name: supervised_phase(*supervised_state(run)) for run in runs}

    def status(self, run: Run) -> RunStatus:
        supervised, state = supervised_state(run)
        begun = run.is_planned() or not (state.ended or state.phase in ("starting", ABANDONED))
        hosts = look_at_hosts(run) if begun else {}
        lost = {host: str(one) for host, one in hosts.items() if isinstance(one, HostError)}
        alive = {host: one for host, one in hosts.items() if not isinstance(one, HostError)}
        return RunStatus(state, supervised, alive, lost, elsewhere_note(run, state))

    def transport(self, run: Run) -> Transport:
        settings = run.settings()
        return transport_to(run, settings.hosts, settings.python)

    def stop(self, run: Run) -> tuple[str, ...]:
        return stop_run(run)

    def take_over(self, run: Run) -> None:
        spawn.take_over(run)


def supervised_state(run: Run) -> tuple[bool, RunState]:
    """Whether it is supervised, as far as can be told from here, and its state as saved; of a
    launch that died before there was anything to supervise: abandoned."""
    supervised = run.is_watched()  # before the state: a supervisor saves its end first
    state = run.state()
    if supervised or state.phase != "starting" or run.is_planned():
        return supervised, state
    why = f"its launch died before anything was started; `dsr1 stop {run.name}` clears it away"
    return False, replace(state, phase=ABANDONED, reason=why)


def elsewhere_note(run: Run, state: RunState) -> str:
    host = "" if state.ended else run.elsewhere()
    return f"its supervisor is on {host}, and can't be seen from here" if host else ""


def supervised_phase(supervised: bool, state: RunState) -> str:
    if supervised or state.ended or state.phase == ABANDONED:
        return state.phase
    return UNSUPERVISED
