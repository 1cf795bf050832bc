"""The keeper: commands over one stream, hostile bytes and all, and the end of everything when that
stream is lost."""

import json
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.waiting import HANGS_S

from dsr1.hosts.agent.process.records import agent_path, read_record
from dsr1.hosts.errors import HostError
from dsr1.hosts.protocol.codec import StartOrder, render_start
from dsr1.hosts.protocol.process import HostPlan, Process
from dsr1.hosts.transport.bundle import make_bundle
from dsr1.slurm.allocation import AllocatedHost
from dsr1.slurm.shell import StepShell
from dsr1.slurm.step import StepProgram

SLEEP = Process("p", "g", "h", ("sleep", "1000"))


@pytest.fixture
def keeper(tmp_path: Path) -> StepProgram:
    return StepProgram(sys.executable, str(make_bundle(tmp_path)), 10)


@pytest.fixture
def shell(
    keeper: StepProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StepShell]:
    """A step without Slurm: `srun` runs its command here."""
    program = tmp_path / "bin" / "srun"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nwhile [ "${1#--}" != "$1" ]; do shift; done\nexec "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    made = StepShell(AllocatedHost("h"), "1", keeper)
    yield made
    made.drop()
    made.wait_dropped(20)


def test_bytes_pass_as_they_are_and_streams_stay_apart(shell: StepShell) -> None:
    hostile = bytes(range(256)) + b"';id\n{}\n" + b"x" * 200_000
    assert shell.run(("cat",), 10, hostile).out == hostile
    answer = shell.run(("sh", "-c", "echo out; echo err >&2; exit 3"), 10)
    assert (answer.code, answer.out, answer.err) == (3, b"out\n", b"err\n")
    assert shell.run(("printf", "%s", "a b;$(id)"), 10).out == b"a b;$(id)"


def test_a_command_that_is_not_there_or_takes_too_long(shell: StepShell) -> None:
    answer = shell.run(("no-such-command",), 10)
    assert (answer.code, b"no-such-command" in answer.err) == (127, True)
    with pytest.raises(HostError, match="h: no answer in 0 s"):
        shell.run(("sleep", "1000"), 0.2)


def test_a_step_that_cannot_start_says_why(tmp_path: Path, shell: StepShell) -> None:
    (tmp_path / "bin" / "srun").write_text(
        "#!/bin/sh\necho 'srun: error: Invalid node name' >&2; exit 1\n"
    )
    with pytest.raises(HostError, match="h: its step is lost: srun: error: Invalid node name"):
        shell.run(("true",), 10)


def test_a_step_that_slurm_refuses_for_now_is_asked_for_again(
    tmp_path: Path, shell: StepShell
) -> None:
    """As it does for some seconds after slurmctld began anew. What was said meanwhile is heard."""
    srun, tries = tmp_path / "bin" / "srun", tmp_path / "tries"
    words = "srun: error: Unable to create step for job 1: Memory required by task is not available"
    refuse = (
        f'echo x >> {tries}\n[ $(wc -l < {tries}) -gt 2 ] || {{ echo "{words}" >&2; exit 1; }}\n'
    )
    srun.write_text(srun.read_text().replace("#!/bin/sh\n", f"#!/bin/sh\n{refuse}"))
    assert shell.run(("cat",), 60, b"heard").out == b"heard"
    assert tries.read_text() == "x\n" * 3


def begin(keeper: StepProgram, folder: Path) -> "subprocess.Popen[bytes]":
    """A keeper with an agent in it that has a process."""
    pipe = subprocess.PIPE
    child = subprocess.Popen(
        keeper.argv, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, bufsize=0
    )
    run_id = secrets.token_hex(16)
    given = render_start(
        StartOrder(HostPlan("r", "h", "127.0.0.1", (SLEEP,), run_id=run_id))
    ).decode()
    assert child.stdin is not None
    assert child.stdout is not None
    for asked in (
        {"call": 1, "argv": [*keeper.argv[:2], "start", str(folder), run_id, "h"]},
        {"call": 1, "in": given},
        {"call": 1, "end": True},
    ):
        child.stdin.write(json.dumps(asked).encode() + b"\n")
    while b'"code":0' not in (line := child.stdout.readline()):
        assert line, "the keeper ended before its agent was up"
    return child


@pytest.mark.parametrize("how", ["end of the stream", "silence", "told to end, then silence"])
def test_a_lost_stream_ends_the_agent_and_all_it_has(
    how: str, keeper: StepProgram, tmp_path: Path, lives: Callable[[int], bool]
) -> None:
    began = time.monotonic()
    with begin(keeper, tmp_path / "h") as child:
        agent = read_record(agent_path(tmp_path / "h"))
        assert agent is not None
        assert agent.pid is not None
        assert lives(agent.pid)
        if how == "end of the stream":
            assert child.stdin is not None
            child.stdin.close()
        elif how.startswith("told"):
            child.send_signal(signal.SIGTERM)
        assert child.wait(HANGS_S) == 0
    assert not lives(agent.pid)
    assert how == "end of the stream" or time.monotonic() - began > 1
