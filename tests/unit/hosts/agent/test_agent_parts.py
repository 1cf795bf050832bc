"""The agent's parts that need no process."""

import io
import json
import os
import subprocess
import sys
import zipfile
from importlib.util import MAGIC_NUMBER
from pathlib import Path

import pytest

from dsr1.hosts.agent.network.ports import PortLocks, open_folder, reserved_by
from dsr1.hosts.agent.process.logs import ProgressThrottle, read_tail
from dsr1.hosts.agent.process.progress import ProgressStep
from dsr1.hosts.agent.process.records import write_plan, write_secrets
from dsr1.hosts.agent.process.spawn import make_environment
from dsr1.hosts.agent.server.journal import MOST_PROGRESS, EventJournal
from dsr1.hosts.agent.server.offline import stop_host
from dsr1.hosts.agent.server.prepare import find_room
from dsr1.hosts.protocol.boot import boot_id
from dsr1.hosts.protocol.events import Listening, Progress
from dsr1.hosts.protocol.facts.port_ranges import parse_range, parse_reserved
from dsr1.hosts.protocol.marks import AgentIdentity, Marks
from dsr1.hosts.protocol.process import HostPlan, Process, Variable
from dsr1.hosts.transport.bundle import UNCHECKED_HASH, make_bundle


def test_the_bundle_is_put_there_once(tmp_path: Path) -> None:
    path = make_bundle(tmp_path)
    before = path.stat()
    assert make_bundle(tmp_path) == path
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    names = zipfile.ZipFile(path).namelist()
    assert "dsr1/__init__.py" not in names
    assert "dsr1/hosts/local.py" not in names


def test_the_bundle_needs_nothing_but_itself(tmp_path: Path) -> None:
    """-S: no site-packages, so neither psutil nor an installed dsr1."""
    address = (str(tmp_path / "h"), "0" * 32, "h")
    argv = (sys.executable, "-I", "-S", str(make_bundle(tmp_path)), "inspect", *address)
    done = subprocess.run(argv, capture_output=True, timeout=300, check=True)
    dead = {"agent": "dead", "boot_id": boot_id(), "processes": {}, "last_event": 0}
    assert json.loads(done.stdout) == dead


SAYS_FROM_WHAT = (
    "import sys; sys.path[:0] = sys.argv[1:]; import dsr1.hosts.agent.main as m;"
    " print(m.__file__, m.main.__code__.co_filename)"
)


def test_it_has_byte_code_for_a_python_as_ours_and_sources_for_any_other(tmp_path: Path) -> None:
    def loaded_from(bundle: Path) -> list[str]:
        argv = (sys.executable, "-I", "-S", "-c", SAYS_FROM_WHAT, str(bundle))
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()

    bundle, name = _made_where_byte_code_is_kept(tmp_path), "dsr1/hosts/agent/main.py"
    assert loaded_from(bundle) == [f"{bundle}/{name}c", name]
    other = tmp_path / "other.pyz"
    data = bundle.read_bytes()
    assert data.count(MAGIC_NUMBER + UNCHECKED_HASH) > 100
    other.write_bytes(_with_magic(data, bytes([MAGIC_NUMBER[0] ^ 1]) + MAGIC_NUMBER[1:]))
    assert loaded_from(other) == [f"{other}/{name}", f"{other}/{name}"]


def _made_where_byte_code_is_kept(folder: Path) -> Path:
    """Whatever the environment of the tests says of that."""
    kept = {"PYTHONPYCACHEPREFIX": str(folder / "kept"), "PYTHONDONTWRITEBYTECODE": ""}
    program = (
        "import sys, pathlib; from dsr1.hosts.transport.bundle import make_bundle;"
        " print(make_bundle(pathlib.Path(sys.argv[1])))"
    )
    argv = (sys.executable, "-c", program, str(folder))
    made = subprocess.run(argv, env=os.environ | kept, capture_output=True, text=True, check=True)
    return Path(made.stdout.strip())


def _with_magic(bundle: bytes, magic: bytes) -> bytes:
    """The bundle as a launching Python with this magic number writes it."""
    read, written = zipfile.ZipFile(io.BytesIO(bundle)), io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for entry in read.infolist():
            data = read.read(entry)
            archive.writestr(entry, magic + data[4:] if entry.filename.endswith("c") else data)
    return written.getvalue()


def test_another_process_makes_the_same_bytes() -> None:
    """Its hashes of strings are others, and so are its sets' orders."""
    program = (
        "import hashlib; from dsr1.hosts.transport.bundle import *;"
        " print(bundle_name(), hashlib.sha256(render_bundle()).hexdigest())"
    )

    def made(seed: str) -> str:
        env = {**os.environ, "PYTHONHASHSEED": seed}
        argv = (sys.executable, "-c", program)
        return subprocess.run(argv, env=env, capture_output=True, text=True, check=True).stdout

    assert made("1") == made("2")


def test_the_journal_replays_and_stays_small(tmp_path: Path) -> None:
    journal = EventJournal("h", tmp_path / "events.jsonl")
    journal.add(Listening("a"))
    for done in range(100):
        journal.add(Progress("a", "load", 0, done, 100))
    assert [numbered.seq for numbered in journal.after(0, 10)] == [1, 101]
    assert [numbered.seq for numbered in journal.after(1, 10)] == [101]
    for rank in range(MOST_PROGRESS + 5):
        journal.add(Progress("a", "load", rank, 1, 2))
    assert len(journal.after(0, 10**6)) == MOST_PROGRESS + 1
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == 101 + MOST_PROGRESS + 5


def test_the_pace() -> None:
    pace = ProgressThrottle("a")
    assert pace.thin([ProgressStep("load", 0, 1, 9)], 0.0) == [Progress("a", "load", 0, 1, 9)]
    assert pace.thin([ProgressStep("load", 0, 2, 9), ProgressStep("load", 0, 3, 9)], 0.1) == []
    assert pace.flush(0.5) == []
    assert pace.flush(1.0) == [Progress("a", "load", 0, 3, 9)]
    assert pace.thin(
        [ProgressStep("load", 0, 9, 9), ProgressStep("graphs", 0, None, None)], 1.1
    ) == [
        Progress("a", "load", 0, 9, 9),
        Progress("a", "graphs", 0),
    ]


def test_a_log_that_changes_phase_on_every_line_makes_few_events() -> None:
    steps = [ProgressStep(("a", "b")[place % 2], None, None, None) for place in range(1000)]
    assert len(ProgressThrottle("a").thin(steps, 0.0)) == 2


def test_the_tail(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert read_tail(log) == ()
    log.write_bytes(
        b"x" * 200_000 + b"\n\n" + b"".join(b"bar %d\r" % place for place in range(30)) + b"\xff\n"
    )
    assert len(read_tail(log)) == 20
    assert read_tail(log)[-2:] == ("bar 29", "\ufffd")
    log.write_text("y" * 1000)
    assert read_tail(log) == ("y" * 500,)


def test_the_marks_win(tmp_path: Path) -> None:
    process = Process(
        "a", "g", "h", (), (Variable("DSR1_RUN", "other", "user"), Variable("X", "1", "user"))
    )
    marks = Marks(AgentIdentity("id", "h"), "r", "/folder", "u on l")
    assert make_environment({"X": "0", "Y": "2"}, marks, process, tmp_path) == {
        "X": "1",
        "Y": "2",
        "DSR1_RUN_ID": "id",
        "DSR1_HOST": "h",
        "DSR1_RUN": "r",
        "DSR1_FOLDER": "/folder",
        "DSR1_ORIGIN": "u on l",
        "DSR1_PROCESS": "a",
        "SPT_NOENV": "1",
    }


def test_port_locks(tmp_path: Path) -> None:
    one, two = (PortLocks(run, tmp_path / "ports") for run in ("one", "two"))
    assert [one.take(8000), one.take(8000), two.take(8000), two.take(8001)] == ["", "", "one", ""]


def test_which_run_has_a_port(tmp_path: Path) -> None:
    held = PortLocks("one", tmp_path / "ports")
    held.take(8000)
    (tmp_path / "ports" / "8001").write_text("gone")
    assert [reserved_by(port, tmp_path / "ports") for port in (8000, 8001, 8002)] == ["one", "", ""]


def test_a_lock_folder_that_others_could_have_made(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(PermissionError):
        open_folder(tmp_path / "open")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OSError, match="link"):
        open_folder(tmp_path / "link")


def test_port_ranges() -> None:
    assert parse_range("32768\t60999\n") == (32768, 60999)
    assert parse_reserved("8080,9148-9150\n") == [(8080, 8080), (9148, 9150)]
    assert parse_reserved("\n") == []


def test_room_for_a_run(tmp_path: Path) -> None:
    assert find_room("h", tmp_path, 1).verdict == "PASS"
    assert "Free some space" in find_room("h", tmp_path, 2**70).fix


@pytest.mark.parametrize(("run_id", "left"), [("id", False), ("another", True)])
def test_the_end_of_a_run_takes_its_secrets_from_the_host(
    tmp_path: Path, run_id: str, left: bool
) -> None:
    """Of its own folder: by now it may be another run's."""
    write_plan(tmp_path, HostPlan("r", "h", "127.0.0.1", (), run_id=run_id))
    write_secrets(tmp_path, {"tls.key": "sekrit"})
    assert stop_host(tmp_path, AgentIdentity("id", "h")).left == ()
    assert (tmp_path / "secrets" / "tls.key").exists() == left
