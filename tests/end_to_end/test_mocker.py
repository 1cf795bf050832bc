"""The whole life of a deployment, and its ends, with Dynamo's engine simulator: real processes, no
torch."""

import concurrent.futures
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.answers import data_of
from tests.built import RUNTIME
from tests.end_to_end.conftest import Dsr1
from tests.end_to_end.deployment import MOCKER, Site, of_run, pid_of
from tests.fakes.pki import make_pair
from tests.waiting import HANGS_S, until

from dsr1.launcher.operate.status import run_status
from dsr1.launcher.plan.plan import PREVIEW_RUN_ID
from dsr1.launcher.run.store import Run, list_runs


def kill_supervisor(run: Run) -> None:
    supervisor = run.supervisor()
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: run.supervisor() is None)


def test_launch_smoke_status_stop(
    dsr1: Dsr1, site: Site, newest: Callable[[], Run], tmp_path: Path
) -> None:
    """Over HTTPS, which everything that asks the frontend speaks then."""
    closed = (*MOCKER, "--set", make_pair(tmp_path).setting, "--set", "health={every: 3s}")
    planned = dsr1("plan", "tiny", "--name", "m", "--json", *site, *closed)
    launched = dsr1("launch", "tiny", "--name", "m", *site, *closed)
    assert launched.returncode == 0, launched.stderr
    assert "ready after" in launched.stdout
    ran = (newest().folder / "plan.json").read_text().replace(newest().run_id(), PREVIEW_RUN_ID)
    assert data_of(planned.stdout) == json.loads(ran)
    doors = data_of(dsr1("status", "m", "--ports", "--json").stdout)
    assert {door["process"] for host in doors.values() for door in host} == {
        "frontend",
        "main-0",
        "main-1",
    }
    asked = dsr1("smoke", "m", "--json")
    assert len({answer["worker_id"] for answer in data_of(asked.stdout)["answers"]}) == 2
    told = data_of(dsr1("status", "m", "--json").stdout)
    assert (told["phase"], told["alive"], told["lacks"]) == (
        "ready",
        ["frontend", "main-0", "main-1"],
        "",
    )
    assert told["url"] == newest().plan().service.url
    assert told["url"].startswith("https://")
    assert f"{told['url']}/v1 serves " in dsr1("status", "m").stdout
    secrets = newest().secrets()
    for file in newest().folder.glob("*.json*"):
        assert secrets["frontend.key"][40:80] not in file.read_text()
    assert "stopped, nothing of it is alive" in dsr1("stop", "m").stdout
    assert run_status(newest()).alive == ()
    assert not newest().secrets()
    assert of_run(newest().folder / "hosts") == []


def test_killed_rank_ends_the_run_and_is_named(
    dsr1: Dsr1, site: Site, newest: Callable[[], Run]
) -> None:
    """After a start that somebody had taken a port from since it was planned."""
    base = int(next(one for one in site if one.startswith("ports.base=")).partition("=")[2])
    unchecked = ("--no-check", "--set", "restart.backoff=0.1")
    with socket.create_server(("127.0.0.1", base + 3)):
        launched = dsr1("launch", "tiny", *site, *MOCKER, *unchecked)
    assert launched.returncode == 0, launched.stderr
    run = newest()
    assert f"port {base + 3} is held by pid {os.getpid()}" in run.state().notes[0]
    assert run.recipe().ports.base > base
    os.kill(pid_of(run, "main-1"), signal.SIGKILL)
    until(lambda: run.state().ended)
    state = run.state()
    assert (state.phase, state.exit_code) == ("failed", 4)
    assert state.reason.startswith("main-1 ended by signal SIGKILL, unasked")
    assert list(run_status(run).alive) == []


def test_a_registration_that_is_gone_is_a_failure(
    dsr1: Dsr1, site: Site, newest: Callable[[], Run]
) -> None:
    """As Dynamo 1.3.1 lost one: the worker lives, and nobody asks it any more. Started again, it
    serves, and has earned its one restart back."""
    often = ("--set", "health={every: 3s}")
    again = (*often, "--set", "restart={max: 1, backoff: 0.1, within: 1s}")
    assert dsr1("launch", "tiny", "--name", "gone", *site, *MOCKER, *again).returncode == 0
    run = newest()
    next((run.folder / "discovery" / "v1" / "instances").glob("*generate*")).unlink()
    until(lambda: run.state().restarts == 1)
    taken = time.monotonic()
    until(lambda: run.state().phase == "ready" and time.monotonic() - taken > 1)
    os.kill(pid_of(run, "main-1"), signal.SIGKILL)
    until(lambda: (run.state().restarts, run.state().phase) == (2, "ready"))
    assert dsr1("smoke", "gone").returncode == 0
    assert dsr1("stop", "gone").returncode == 0


def test_stop_ends_a_hung_supervisor_too(dsr1: Dsr1, site: Site, newest: Callable[[], Run]) -> None:
    assert dsr1("launch", "tiny", "--name", "u", *site, *MOCKER).returncode == 0
    supervisor = newest().supervisor()
    assert supervisor is not None
    os.kill(supervisor, signal.SIGSTOP)
    assert dsr1("stop", "u").returncode == 0
    assert newest().supervisor() is None
    assert of_run(newest().folder) == []
    assert newest().state().phase == "stopped"


def test_a_run_whose_folder_is_removed_ends(
    dsr1: Dsr1, site: Site, newest: Callable[[], Run]
) -> None:
    """As an interrupted test's folder was, while its deployment lived on."""
    assert dsr1("launch", "tiny", "--name", "rm", *site, *MOCKER).returncode == 0
    folder, supervisor = newest().folder, newest().supervisor()
    assert supervisor is not None
    shutil.rmtree(folder)
    until(lambda: of_run(folder) == [])
    assert not folder.exists()


def test_killed_supervisor_loses_nothing(dsr1: Dsr1, site: Site, newest: Callable[[], Run]) -> None:
    assert dsr1("launch", "tiny", "--name", "s", *site, *MOCKER).returncode == 0
    run = newest()
    kill_supervisor(run)
    told = data_of(dsr1("status", "s", "--json").stdout)
    assert (told["supervised"], told["alive"]) == (False, ["frontend", "main-0", "main-1"])
    assert "supervised again" in dsr1("supervise", "s").stdout
    until(lambda: run.state().phase == "ready")
    kill_supervisor(run)
    assert dsr1("stop", "s").returncode == 0
    assert list(run_status(run).alive) == []
    assert run.state().phase == "stopped"


def test_two_launches_of_the_same_ports(dsr1: Dsr1, site: Site) -> None:
    assert dsr1("launch", "tiny", "--name", "first", *site, *MOCKER).returncode == 0
    second = dsr1("launch", "tiny", "--name", "second", *site, *MOCKER)
    assert second.returncode == 3
    assert "first" in second.stderr
    assert dsr1("smoke", "first").returncode == 0


def test_missing_model_is_a_failed_check(dsr1: Dsr1, site: Site) -> None:
    refused = dsr1("launch", "tiny", *site, *MOCKER, "--model", "/nowhere/model")
    assert refused.returncode == 3
    assert "/nowhere/model" in refused.stderr


def test_missing_runtime_is_named(dsr1: Dsr1, site: Site) -> None:
    refused = dsr1("launch", "tiny", *site, *MOCKER, "--venv", "/nowhere/venv")
    assert refused.returncode == 4
    assert "/nowhere/venv" in refused.stderr


def test_half_written_state_is_told_and_stop_still_stops(
    dsr1: Dsr1, site: Site, newest: Callable[[], Run]
) -> None:
    assert dsr1("launch", "tiny", "--name", "h", *site, *MOCKER).returncode == 0
    run = newest()
    (run.folder / "state.json").write_text('{"phase": "rea')
    assert "unreadable" in dsr1("ps").stdout
    assert dsr1("stop", "h").returncode == 0
    assert list(run_status(run).alive) == []


def test_stop_needs_neither_settings_nor_plan(
    dsr1: Dsr1, site: Site, newest: Callable[[], Run]
) -> None:
    assert dsr1("launch", "tiny", "--name", "n", *site, *MOCKER).returncode == 0
    run = newest()
    kill_supervisor(run)
    assert of_run(run.folder / "hosts") != []
    (run.folder / "settings.json").unlink()
    (run.folder / "plan.json").write_text('{"of": "another version"}')
    (run.folder / "recipe.json").write_text("{}")
    assert "settings.json: can't be read" in dsr1("smoke", "n").stderr + dsr1("status", "n").stderr
    assert dsr1("stop", "n").returncode == 0
    assert of_run(run.folder / "hosts") == []


def test_stop_ends_a_launch_that_still_asks(dsr1: Dsr1, site: Site, state: Path) -> None:
    command = (
        sys.executable,
        "-m",
        "dsr1.launcher.cli.main",
        "launch",
        "tiny",
        "--name",
        "q",
        *site,
        *MOCKER,
    )
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as launch:
        until(lambda: (state / "runs" / "q" / "supervisor.json").exists())
        assert dsr1("stop", "q").returncode == 0
        assert launch.wait(HANGS_S) == 4
    assert [run.name for run in list_runs() if not run.state().ended] == []
    assert of_run(state / "runs" / "q") == []


def test_unknown_run(dsr1: Dsr1) -> None:
    missing = dsr1("status", "never")
    assert (missing.returncode, missing.stderr) == (
        5,
        "dsr1: no run never; `dsr1 launch` starts one\n",
    )


def test_interrupt_while_starting_rolls_back(
    dsr1: Dsr1, site: Site, state: Path, newest: Callable[[], Run]
) -> None:
    command = (
        sys.executable,
        "-m",
        "dsr1.launcher.cli.main",
        "launch",
        "tiny",
        "--name",
        "i",
        *site,
        *MOCKER,
    )
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as launch:
        until(lambda: (state / "runs" / "i" / "hosts").exists())
        launch.send_signal(signal.SIGINT)
        _, said = launch.communicate(timeout=HANGS_S)
    assert launch.returncode == 4
    assert "interrupted" in said
    assert run_status(newest()).alive == ()
    assert of_run(newest().folder / "hosts") == []


@pytest.mark.parametrize("process", ["main-0", "frontend"])
def test_an_orderly_exit_unasked_is_a_failure_too(
    process: str, dsr1: Dsr1, site: Site, newest: Callable[[], Run]
) -> None:
    """Dynamo's processes answer SIGTERM with exit code 0: a failure that looks like success."""
    assert dsr1("launch", "tiny", *site, *MOCKER).returncode == 0
    run = newest()
    os.kill(pid_of(run, process), signal.SIGTERM)
    until(lambda: run.state().ended)
    assert (run.state().phase, run.state().exit_code) == ("failed", 4)
    assert run.state().reason.startswith(f"{process} ended")
    assert of_run(run.folder / "hosts") == []


def test_killed_agent_ends_the_run(dsr1: Dsr1, site: Site, newest: Callable[[], Run]) -> None:
    assert dsr1("launch", "tiny", *site, *MOCKER).returncode == 0
    run = newest()
    os.kill(
        json.loads((run.folder / "hosts" / "local1" / "agent.json").read_text())["pid"],
        signal.SIGKILL,
    )
    until(lambda: run.state().ended)
    assert "agent" in run.state().reason
    assert of_run(run.folder / "hosts") == []


def test_stop_when_supervisor_and_agents_are_gone(
    dsr1: Dsr1, site: Site, newest: Callable[[], Run]
) -> None:
    assert dsr1("launch", "tiny", "--name", "g", *site, *MOCKER).returncode == 0
    run, supervisor = newest(), newest().supervisor()
    assert supervisor is not None
    agents = [
        json.loads(file.read_text())["pid"] for file in (run.folder / "hosts").glob("*/agent.json")
    ]
    for pid in (supervisor, *agents):
        os.kill(pid, signal.SIGKILL)
    until(lambda: run.supervisor() is None)
    assert list(run_status(run).alive) == ["frontend", "main-0", "main-1"]
    assert dsr1("stop", "g").returncode == 0
    assert of_run(run.folder / "hosts") == []


@pytest.mark.parametrize("size", ["64k", "160k"])
def test_a_full_disk_below_the_run_starts_nothing(
    size: str, dsr1: Dsr1, site: Site, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first has no room for the run's own files, the second has none for the agent."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small file system")
    small = state / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(small)], check=True)
    try:
        monkeypatch.setenv("DSR1_STATE_DIR", str(small))
        refused = dsr1("launch", "tiny", *site, *MOCKER)
        assert refused.returncode in (3, 4)
        assert "No space left" in refused.stderr or "run.room" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert of_run(small) == []
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
        monkeypatch.setenv("DSR1_STATE_DIR", str(state))


def test_runtime_without_vllm_is_a_failed_check(dsr1: Dsr1, site: Site) -> None:
    """The Python that runs the tests has psutil, and neither vLLM nor Dynamo."""
    refused = dsr1("launch", "tiny", *site, "--venv", sys.prefix)
    assert refused.returncode == 3
    assert (
        "local[0-1]: sw.packages: ai-dynamo, ai-dynamo-runtime, vllm: not installed"
        in refused.stderr
    )


def test_vllm_that_dynamo_does_not_go_with(dsr1: Dsr1, site: Site, state: Path) -> None:
    """A runtime whose vLLM says that it is another version than ai-dynamo's own metadata asks
    for."""
    other = state / "site" / "vllm-0.32.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0\n")
    python = state / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(
        f"#!/bin/sh\nPYTHONPATH={shlex.quote(str(other.parent))} exec"
        f' {shlex.quote(str(RUNTIME))}/bin/python "$@"\n'
    )
    python.chmod(0o755)
    refused = dsr1("launch", "tiny", *site, "--venv", str(python.parents[1]))
    assert refused.returncode == 3
    assert "sw.pins" in refused.stderr
    assert "0.32.0" in refused.stderr
    assert "0.31.0" in refused.stderr


def test_logs_name_the_process(dsr1: Dsr1, site: Site) -> None:
    followed = dsr1("launch", "tiny", "--name", "l", *site, *MOCKER)
    assert followed.returncode == 0
    assert {line.split(":")[0] for line in dsr1("logs", "l").stdout.splitlines()} == {
        "frontend",
        "main-0",
        "main-1",
    }


def test_two_launches_at_the_same_moment(dsr1: Dsr1, site: Site, state: Path) -> None:
    """At most one gets the ports; the other says whose they are, and leaves nothing. Judged in
    time, it made no run."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        both = list(
            pool.map(
                lambda name: dsr1("launch", "tiny", "--name", name, *site, *MOCKER), ("one", "two")
            )
        )
    codes = [launched.returncode for launched in both]
    assert 3 in codes, both
    assert set(codes) <= {0, 3}, both
    for name, code in zip(("one", "two"), codes, strict=True):
        folder = state / "runs" / name
        assert (folder.exists() and run_status(Run(folder)).alive != ()) == (code == 0)


def test_a_taken_over_run_is_watched_again(
    dsr1: Dsr1, site: Site, newest: Callable[[], Run]
) -> None:
    assert dsr1("launch", "tiny", "--name", "t", *site, *MOCKER).returncode == 0
    run = newest()
    kill_supervisor(run)
    assert dsr1("supervise", "t").returncode == 0
    os.kill(pid_of(run, "main-0"), signal.SIGKILL)
    until(lambda: run.state().ended)
    assert run.state().reason.startswith("main-0 ended by signal SIGKILL")
    assert of_run(run.folder / "hosts") == []
    refused = dsr1("supervise", "t")
    assert (refused.returncode, "has ended" in refused.stderr) == (2, True)


def test_restart_after_a_death_and_only_so_often(
    dsr1: Dsr1, site: Site, newest: Callable[[], Run]
) -> None:
    again = ("--set", "restart={max: 1, backoff: 0.1}")
    assert dsr1("launch", "tiny", "--name", "r", *site, *MOCKER, *again).returncode == 0
    run = newest()
    os.kill(pid_of(run, "main-1"), signal.SIGKILL)
    until(lambda: (run.state().restarts, run.state().phase) == (1, "ready"))
    assert dsr1("smoke", "r").returncode == 0
    os.kill(pid_of(run, "main-0"), signal.SIGKILL)
    until(lambda: run.state().ended)
    assert run.state().reason.startswith("main-0 ended by signal SIGKILL")
    assert of_run(run.folder / "hosts") == []


def test_stop_while_it_waits_to_restart(dsr1: Dsr1, site: Site, newest: Callable[[], Run]) -> None:
    again = ("--set", "restart={max: 1, backoff: 1000}")
    assert dsr1("launch", "tiny", "--name", "w", *site, *MOCKER, *again).returncode == 0
    run = newest()
    os.kill(pid_of(run, "main-1"), signal.SIGKILL)
    until(lambda: run.state().reason.startswith("main-1 ended"))
    assert dsr1("stop", "w").returncode == 0
    assert run.state().phase == "stopped"
    assert of_run(run.folder / "hosts") == []
