"""The agent's parts that need no process."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dsr1.hosts.agent.bundle import make_bundle, render_bundle
from dsr1.hosts.agent.journal import MOST_PROGRESS, Journal
from dsr1.hosts.agent.logs import Pace, read_tail
from dsr1.hosts.agent.ports import PortLocks, open_folder, parse_range, parse_reserved
from dsr1.hosts.agent.prepare import check_disk, check_ephemeral, check_package, check_path, check_pin
from dsr1.hosts.agent.spawn import make_environment
from dsr1.hosts.events import Listening, Progress
from dsr1.hosts.process import Process, Variable
from dsr1.hosts.progress import Step


def test_the_bundle_is_the_same_every_time(tmp_path: Path) -> None:
    assert render_bundle() == render_bundle()
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
    argv = (sys.executable, "-I", "-S", str(make_bundle(tmp_path)), "look", str(tmp_path / "h"))
    done = subprocess.run(argv, capture_output=True, timeout=20, check=True)
    assert json.loads(done.stdout) == {"agent": "dead", "rebooted": False, "processes": {}}


def test_the_journal_replays_and_stays_small(tmp_path: Path) -> None:
    journal = Journal("h", tmp_path / "events.jsonl")
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
    pace = Pace("a")
    assert pace.thin([Step("load", 0, 1, 9)], 0.0) == [Progress("a", "load", 0, 1, 9)]
    assert pace.thin([Step("load", 0, 2, 9), Step("load", 0, 3, 9)], 0.1) == []
    assert pace.flush(0.5) == []
    assert pace.flush(1.0) == [Progress("a", "load", 0, 3, 9)]
    assert pace.thin([Step("load", 0, 9, 9), Step("graphs", 0, None, None)], 1.1) == [
        Progress("a", "load", 0, 9, 9),
        Progress("a", "graphs", 0),
    ]


def test_a_log_that_changes_phase_on_every_line_makes_few_events() -> None:
    steps = [Step(("a", "b")[place % 2], None, None, None) for place in range(1000)]
    assert len(Pace("a").thin(steps, 0.0)) == 2


def test_the_tail(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert read_tail(log) == ()
    log.write_bytes(b"x" * 200_000 + b"\n\n" + b"".join(b"bar %d\r" % place for place in range(30)) + b"\xff\n")
    assert len(read_tail(log)) == 20
    assert read_tail(log)[-2:] == ("bar 29", "\ufffd")
    log.write_text("y" * 1000)
    assert read_tail(log) == ("y" * 500,)


def test_the_marks_win(tmp_path: Path) -> None:
    process = Process("a", "g", "h", (), (Variable("DSR1_RUN", "other", "user"), Variable("X", "1", "user")))
    assert make_environment({"X": "0", "Y": "2"}, "r", "m", process, tmp_path) == {
        "X": "1",
        "Y": "2",
        "DSR1_RUN": "r",
        "DSR1_PROCESS": "a",
        "DSR1_AGENT": "m",
    }


def test_port_locks(tmp_path: Path) -> None:
    one, two = (PortLocks(run, tmp_path / "ports") for run in ("one", "two"))
    assert [one.take(8000), one.take(8000), two.take(8000), two.take(8001)] == ["", "", "one", ""]


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


@pytest.mark.parametrize(
    ("ports", "reserved", "verdict"),
    [([8000], "\n", "PASS"), ([40000, 8000], "\n", "WARN"), ([40000], "39999-40001\n", "PASS")],
)
def test_ephemeral_ports(tmp_path: Path, ports: list[int], reserved: str, verdict: str) -> None:
    (tmp_path / "ip_local_port_range").write_text("32768 60999\n")
    (tmp_path / "ip_local_reserved_ports").write_text(reserved)
    finding = next(check_ephemeral("h", ports, tmp_path))
    assert finding.verdict == verdict
    assert bool(finding.fix) == (verdict != "PASS")


def distribution(folder: Path, name: str, version: str, lines: str = "") -> None:
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{lines}")


DYNAMO = (
    'Provides-Extra: vllm\nProvides-Extra: sglang\nRequires-Dist: dsr1-t-engine[flash]==0.31.0; extra == "vllm"\n'
    "Requires-Dist: numpy\n"
)


@pytest.mark.parametrize(
    ("version", "verdict"), [("0.31.0", "PASS"), ("0.31.0+cpu", "PASS"), ("0.30.1", "FAIL"), (None, "FAIL")]
)
def test_pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None, verdict: str) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    distribution(tmp_path, "dsr1-t-dynamo", "1.6.1", DYNAMO)
    if version:
        distribution(tmp_path, "dsr1-t-engine", version)
    finding = next(check_pin("h", "dsr1-t-dynamo", "dsr1_t.engine"))
    assert finding.verdict == verdict
    assert "==0.31.0" in finding.wanted
    assert next(check_pin("h", "dsr1-t-dynamo", "nobody")).verdict == "SKIP"
    assert next(check_pin("h", "dsr1-t-nobody", "x")).verdict == "FAIL"


def test_packages_paths_and_disk(tmp_path: Path) -> None:
    assert next(check_package("h", "pytest")).verdict == "PASS"
    assert next(check_package("h", "dsr1-t-nobody")).verdict == "FAIL"
    assert next(check_path("h", str(tmp_path))).verdict == "PASS"
    assert "not there" in next(check_path("h", str(tmp_path / "none"))).seen
    assert next(check_disk("h", tmp_path, 1)).verdict == "PASS"
    assert "Free some space" in next(check_disk("h", tmp_path, 2**70)).fix
