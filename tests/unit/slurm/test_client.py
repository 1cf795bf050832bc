"""What is asked of Slurm's commands, and what is made of answers that aren't whole."""

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dsr1.hosts.errors import HostError
from dsr1.hosts.protocol.events import Gone
from dsr1.slurm.allocation import AllocatedHost, Allocation
from dsr1.slurm.client import output_or_error
from dsr1.slurm.handle import JobHandle
from dsr1.slurm.job_queue import Queue
from dsr1.slurm.step import StepProgram
from dsr1.slurm.testing.fake import FakeSlurm
from dsr1.slurm.transport import SrunTransport

WAITS = {
    "state": "PENDING",
    "reason": "Priority",
    "code": 0,
    "signal": 0,
    "nodes": 1,
    "options": {},
}
FAILED = {
    "state": "FAILED",
    "reason": "",
    "code": 3,
    "signal": 0,
    "nodes": 1,
    "options": {},
    "start": 1795553638.0,
}


def handles(*jobs: str) -> list[JobHandle]:
    return [JobHandle("fake", job) for job in jobs]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    made = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{made.install()}:{os.environ['PATH']}")
    return made


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return Queue(tmp_path / "squeue.json")


def test_a_squeue_that_was_built_without_json(fake: FakeSlurm, queue: Queue) -> None:
    fake.configure(json=False)
    waits, failed = fake.add(WAITS), fake.add(FAILED | {"hosts": ["node1"]})
    told = queue.look_up(handles(waits, failed))
    assert (told[waits].state, told[waits].reason, told[waits].start) == (
        "PENDING",
        "Priority",
        None,
    )
    assert (told[failed].state, told[failed].code, told[failed].nodes) == ("FAILED", 3, "node1")
    assert queue.look_up(handles(waits))[waits].waits
    assert len(fake.calls("squeue")) == 2


def say(fake: FakeSlurm, program: str, before: str, after: str = "") -> None:
    """A site's wrapper of a command: lines on stdout around what it says."""
    file = fake.folder / "bin" / program
    file.write_text(file.read_text().replace("\nexec env", f"\n{before}\nenv") + f"{after}\n")


@pytest.mark.parametrize("json", [True, False])
def test_what_a_wrapper_says_around_an_answer_is_left_out(
    json: bool, fake: FakeSlurm, queue: Queue
) -> None:
    fake.configure(json=json)
    waits, ended = fake.add(WAITS), fake.add(FAILED)
    for program in ("squeue", "sacct"):
        say(
            fake,
            program,
            'echo "News: {maintenance} on Monday"; echo; echo warning >&2',
            "echo Bye",
        )
    told = queue.look_up(handles(waits, ended, "77"))
    assert (told[waits].state, told[ended].code, len(told)) == ("PENDING", 3, 2)


@pytest.mark.parametrize("lines", ["exit 0", "echo Service unavailable; exit 0", "exit 3"])
def test_a_squeue_that_says_nothing_tells_of_no_job_s_end(
    lines: str, fake: FakeSlurm, queue: Queue
) -> None:
    """Else what runs would be called gone."""
    say(fake, "squeue", lines)
    with pytest.raises(HostError, match="Slurm does not answer: squeue: "):
        queue.look_up(handles(fake.add(WAITS)))


def test_a_squeue_that_is_too_old_for_json_is_asked_for_lines(
    fake: FakeSlurm, queue: Queue
) -> None:
    waits, words = fake.add(WAITS), "squeue: unrecognized option '--json'"
    say(fake, "squeue", f'case "$*" in *--json*) echo "{words}" >&2; exit 1; esac')
    assert queue.look_up(handles(waits))[waits].waits


def test_without_accounting_squeue_is_believed(fake: FakeSlurm, queue: Queue) -> None:
    fake.configure(accounting="disabled")
    failed = fake.add(FAILED)
    assert (queue.look_up(handles(failed))[failed].code, queue.look_up(handles("77"))) == (3, {})


def test_an_accounting_that_is_down_is_missed_only_where_nobody_else_knows(
    fake: FakeSlurm, queue: Queue
) -> None:
    fake.configure(accounting="down")
    failed = fake.add(FAILED)
    assert queue.look_up(handles(failed))[failed].code == 3
    with pytest.raises(HostError, match="sacct: Problem talking to the database"):
        queue.look_up(handles(failed, "77"))


@pytest.mark.parametrize(
    "spoilt", [b"", b"\xff\xfe", b"{", b"[]", b'{"jobs": [1]}', b"7|RUNNING\n"]
)
def test_a_shared_answer_that_is_spoilt_is_asked_for_anew(
    spoilt: bytes, fake: FakeSlurm, tmp_path: Path
) -> None:
    waits = fake.add(WAITS)
    (tmp_path / "squeue.json").write_bytes(spoilt)
    assert Queue(tmp_path / "squeue.json").look_up(handles(waits))[waits].waits


def test_a_shared_answer_is_an_own_and_a_recent_one(
    fake: FakeSlurm, tmp_path: Path, queue: Queue
) -> None:
    waits, shared = fake.add(WAITS), tmp_path / "squeue.json"
    queue.look_up(handles(waits))
    fake.change(waits, state="RUNNING")
    assert queue.look_up(handles(waits))[waits].waits
    if os.getuid() == 0:
        os.chown(shared, 12345, 12345)
        assert not queue.look_up(handles(waits))[waits].waits
    fake.change(waits, state="PENDING")
    os.utime(shared, (time.time() - 60, time.time() - 60))
    assert queue.look_up(handles(waits))[waits].waits


def test_twenty_who_watch_ask_as_often_as_one(fake: FakeSlurm, tmp_path: Path) -> None:
    waits, shared = fake.add(WAITS), tmp_path / "squeue.json"

    def look(_: int) -> bool:
        return Queue(shared).look_up(handles(waits))[waits].waits

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(look, range(20)))
    assert len(fake.calls("squeue")) == 1


def test_nodes_of_an_allocation_that_is_lent_stay_in_it(fake: FakeSlurm, tmp_path: Path) -> None:
    job = fake.add(FAILED | {"state": "RUNNING", "hosts": ["a", "b"]})
    lent = Allocation(job, "fake", (AllocatedHost("a"), AllocatedHost("b")), is_lent=True)
    transport = SrunTransport(lent, StepProgram("python3", "/bundle", 1.0), "r", tmp_path)
    assert "not dsr1's to change" in transport.give_up(("b",))[0]
    assert (fake.job(job)["hosts"], fake.calls("scontrol")) == (["a", "b"], [])


def test_nodes_that_are_given_up_leave_the_job(fake: FakeSlurm, tmp_path: Path) -> None:
    job = fake.add(FAILED | {"state": "RUNNING", "hosts": ["a", "b", "c"]})
    allocation = Allocation(
        job, "fake", (AllocatedHost("a"), AllocatedHost("b"), AllocatedHost("c"))
    )
    transport = SrunTransport(allocation, StepProgram("python3", "/bundle", 1.0), "r", tmp_path)
    assert transport.give_up(("b",)) == ("b: left the job",)
    assert fake.job(job)["hosts"] == ["a", "c"]
    assert transport.stop("b") == Gone(())
    fake.change(job, state="COMPLETING")
    assert (
        "c: can't leave the job, which may end when Slurm notices the loss: scontrol:"
        in transport.give_up(("c",))[0]
    )


def test_a_heterogeneous_jobs_other_parts_are_passed_over(fake: FakeSlurm, queue: Queue) -> None:
    """sacct tells of them all when it is asked for the first."""
    ended, part = fake.add(FAILED), fake.add(FAILED)
    sacct = fake.folder / "bin" / "sacct"
    sacct.write_text(sacct.read_text().replace('"$@"', f'--jobs={ended},{part} "$@"'))
    assert list(queue.look_up(handles(ended))) == [ended]


def test_nor_do_they_leave_a_heterogeneous_one(fake: FakeSlurm, tmp_path: Path) -> None:
    allocation = Allocation("1", "fake", (AllocatedHost("a", 0), AllocatedHost("b", 1)))
    transport = SrunTransport(allocation, StepProgram("python3", "/bundle", 1.0), "r", tmp_path)
    assert "can't leave a heterogeneous job" in transport.give_up(("b",))[0]
    assert fake.calls("scontrol") == []


def test_a_users_settings_for_slurms_commands_dont_reach_them(
    fake: FakeSlurm, queue: Queue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program, real = (
        tmp_path / "slurm" / "bin" / "squeue",
        (tmp_path / "slurm" / "bin" / "squeue").read_text(),
    )
    program.write_text(
        real.replace("\nexec", '\n[ -z "$SQUEUE_STATES$SLURM_TIME_FORMAT" ] || exit 9\nexec')
    )
    monkeypatch.setenv("SQUEUE_STATES", "PENDING")
    monkeypatch.setenv("SLURM_TIME_FORMAT", "relative")
    waits = fake.add(WAITS)
    assert queue.look_up(handles(waits))[waits].waits


def test_an_answer_in_json_is_said_by_its_errors_alone() -> None:
    told = {"jobs": [], "errors": [{"error": "Unable to contact slurm controller", "source": "x"}]}
    done = subprocess.CompletedProcess(("squeue",), 1, json.dumps(told, indent=1), "")
    assert output_or_error(done) == "Unable to contact slurm controller"
    many = subprocess.CompletedProcess(("squeue",), 1, "a\nb\nc\nd\ne\nf\n", "")
    assert output_or_error(many) == "a | b | c | d | e"
    assert (
        output_or_error(subprocess.CompletedProcess(("squeue",), 1, '{"errors": 3}', ""))
        == '{"errors": 3}'
    )
