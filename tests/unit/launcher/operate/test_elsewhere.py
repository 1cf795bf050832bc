"""Login nodes share a home: a run's folder tells of processes that only one of them can see, and
nobody is called gone for not being seen."""

import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pytest
from tests.waiting import until

from dsr1.hosts.errors import HostError, InputError, LaunchFailed
from dsr1.hosts.inventory.access import Access
from dsr1.hosts.protocol.evidence import HostEvidence
from dsr1.hosts.protocol.identity import RecordedProcess, record_process
from dsr1.launcher.cli.runs.status import status_code
from dsr1.launcher.cli.views.status import alive_lines, unwell_lines
from dsr1.launcher.operate.backends import backend_of
from dsr1.launcher.operate.status import EndWatch, phases, run_status, stop_any, take_over_any
from dsr1.launcher.operate.why import explain_run
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.preflight.survey_result import unasked_survey
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.run import stop
from dsr1.launcher.run.evidence import keep_evidence
from dsr1.launcher.run.folder import SUPERVISOR_FILE
from dsr1.launcher.run.launch import launch_run
from dsr1.launcher.run.prepare import make_run_secrets, make_settings
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run, new_run
from dsr1.slurm.allocation import AllocatedHost, Allocation
from dsr1.slurm.handle import JobHandle

RECIPE = load_recipe("dsr1-slice", ["model.path=/models/r1"])
LOGIN1 = RecordedProcess(os.getpid(), 1.0, "another-boot", "login1")


def recorded_on(run: Run, process: RecordedProcess) -> None:
    (run.folder / SUPERVISOR_FILE).write_text(json.dumps(asdict(process)))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """On the machine login1 itself, which this isn't."""
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))  # no Slurm
    run, survey = new_run("r"), unasked_survey(RECIPE, ())
    run.claim(RECIPE, "ready")
    plan = make_plan(RECIPE, survey.hosts, run.name, str(run.folder))
    run.fill(plan, make_settings(RECIPE, survey, ()), make_run_secrets(plan, survey, RECIPE))
    (run.folder / "hosts" / "localhost").mkdir(parents=True)
    recorded_on(run, LOGIN1)
    return run


def test_what_a_record_says_of_its_machine() -> None:
    here = record_process(os.getpid())
    assert (here.lives, here.elsewhere, here.host) == (True, "", socket.gethostname())
    assert (LOGIN1.lives, LOGIN1.elsewhere) == (False, "login1")
    booted = replace(here, boot="another-boot")
    assert (booted.lives, booted.elsewhere) == (False, "")
    assert replace(booted, host="").elsewhere == ""  # as dsr1 wrote it before
    assert replace(here, host="login1").elsewhere == ""  # it can be seen


def test_its_supervisor_is_not_gone(run: Run) -> None:
    assert (run.supervisor(), run.elsewhere(), run.is_watched()) == (None, "login1", True)
    assert phases([run]) == {"r": "ready"}
    current = run_status(run)
    assert (current.supervised, status_code(current, "")) == (True, 0)
    told = [*unwell_lines(current, "", 0.0), *alive_lines(current)]
    assert told[0] == "its supervisor is on login1, and can't be seen from here"
    assert told[1].startswith("localhost: is login1, where the run was launched: ask there")
    assert told[2:] == ["alive: not known, no host can be asked"]
    assert not EndWatch(run).is_over()
    run.save(RunState("stopped", 1.0))
    assert run_status(run).note == ""


def test_why_says_where_to_ask_and_blames_nobody(run: Run) -> None:
    with pytest.raises(LaunchFailed, match=r"r: runs on login1 alone, .*: ask there"):
        explain_run(run)
    evidence = {"localhost": HostEvidence("localhost", problems=("nothing",))}
    keep_evidence(run, evidence)
    assert explain_run(run).source == "the failure"  # what is on record is told anywhere
    (run.folder / SUPERVISOR_FILE).unlink()
    assert explain_run(run).source == "the failure"


def test_nobody_takes_over_from_it(run: Run) -> None:
    with pytest.raises(InputError, match=r"started on login1, .*`dsr1 supervise r` there.* remove"):
        take_over_any(run)
    (run.folder / SUPERVISOR_FILE).unlink()  # as that says, of a machine that is gone for good
    assert (run.is_watched(), run_status(run).supervised) == (False, False)


def test_what_was_started_there_can_t_be_reached_from_here(run: Run) -> None:
    transport = backend_of(run).transport(run)
    asks: tuple[Callable[[], object], ...] = (
        partial(transport.inspect, "localhost"),
        partial(transport.attach, "localhost", 0),
        partial(transport.open_job("localhost", "{}").__enter__),
    )
    for ask in asks:
        with pytest.raises(HostError, match="localhost: is login1"):
            ask()
    assert list(transport.logs("localhost", lambda: False)) == []  # those lie in the folder


def ends_once_asked(run: Run, left: tuple[str, ...] = ()) -> None:
    """As a supervisor on login1."""
    until(run.is_asked_to_stop)
    run.save(RunState("stopping", 2.0))
    run.save(RunState("stopped", 2.0, left=left))


@pytest.fixture
def login1() -> Iterator[Callable[[Callable[[], None]], None]]:
    threads: list[threading.Thread] = []

    def begin(act: Callable[[], None]) -> None:
        threads.append(threading.Thread(target=act))
        threads[-1].start()

    yield begin
    for one in threads:
        one.join()


def test_it_is_stopped_by_the_folder_that_both_see(
    run: Run, login1: Callable[[Callable[[], None]], None]
) -> None:
    login1(partial(ends_once_asked, run))
    assert stop_any(run) == ()
    assert run.state().phase == "stopped"
    assert stop_any(run) == ()  # once more


def test_what_it_left_on_its_own_machine_isn_t_called_gone(
    run: Run, login1: Callable[[Callable[[], None]], None]
) -> None:
    login1(partial(ends_once_asked, run, ("localhost: decode-0",)))
    (left,) = stop_any(run)
    assert left.startswith("localhost: is login1")
    assert run.state().left == ("localhost: decode-0",)


def test_one_that_doesn_t_answer_keeps_its_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop, "HUNG_S", 0.2)
    where = f"`dsr1 stop r` on login1. .* remove {run.folder / SUPERVISOR_FILE} first"
    for host in ((), (Access("a", "192.0.2.1"),)):
        run.save_settings(replace(run.settings(), hosts=host))
        with pytest.raises(LaunchFailed, match=where):
            stop_any(run)
        assert (run.is_asked_to_stop(), run.state().phase) == (False, "ready")


def test_nor_in_an_allocation_that_is_its_user_s(run: Run) -> None:
    """Slurm doesn't answer either."""
    run.save_allocation(Allocation("7", "lab", (AllocatedHost("a"),), is_lent=True))
    run.save_job(JobHandle("lab", "7"))
    assert phases([run]) == {"r": "ready"}
    current = run_status(run)
    assert (current.supervised, bool(current.alive)) == (True, True)
    assert current.note.startswith("its supervisor is on login1")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Also where pytest itself is a background job, which is started with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_launch_that_still_asks_its_hosts_hears_it_too(run: Run, interruptible: None) -> None:
    def asks(own: Run) -> None:
        own.ask_to_stop()
        until(lambda: False)

    with pytest.raises(LaunchFailed, match="two: interrupted; nothing was started"):
        launch_run(RECIPE, "two", asks, lambda _: None)
    assert not new_run("two").folder.exists()
