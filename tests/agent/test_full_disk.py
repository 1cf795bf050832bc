"""A full disk: nothing new starts and it is said why; what runs goes on and can be ended."""

import os
import subprocess
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.waiting import HANGS_S

from dsr1.hosts.protocol.commands import Spawn, Stop
from dsr1.hosts.protocol.events import DiskFull, Exited, Gone, Spawned
from dsr1.hosts.protocol.evidence import EvidenceRequest, ProcessRanks
from dsr1.hosts.protocol.process import Process
from dsr1.hosts.transport.bundle import render_bundle
from dsr1.launcher.run.supervision.messages import notes_of

if TYPE_CHECKING:
    from tests.agent.conftest import Lab

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root"),
    pytest.mark.cluster,
]
Make = Callable[..., Process]
ROOM_K = 200  # beside the agent's own program


@pytest.fixture
def size() -> str:
    return f"{len(render_bundle()) // 1024 + ROOM_K}k"


@pytest.fixture
def tmp_path(tmp_path: Path, size: str) -> Iterator[Path]:
    """A small disk, in place of the ordinary folder."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(small))
    done = subprocess.run(mount, capture_output=True, timeout=HANGS_S, check=False)
    if done.returncode != 0:
        pytest.skip(f"no tmpfs here: {done.stderr.decode()}")
    try:
        yield small
    finally:
        subprocess.run(("umount", "-l", str(small)), timeout=HANGS_S, check=True)


def fill(folder: Path) -> None:
    with (
        (folder / "filler").open("wb", buffering=0) as file,
        pytest.raises(OSError, match="No space left"),
    ):
        write_without_end(file)


def write_without_end(file: FileIO) -> None:
    while True:
        file.write(b"x" * 256)


def test_a_full_disk(lab: "Lab", sh: Make, lives: Callable[[int], bool]) -> None:
    talk = lab.start(sh("early", "exec sleep 1000"), sh("late", "exec sleep 1000", group="other"))
    talk.send(Spawn(("early",)))
    early = talk.until(Spawned).pid
    fill(lab.folder)
    talk.send(Spawn(("late",)))
    exited = talk.until(Exited)
    assert (exited.process, exited.code, exited.requested) == ("late", 127, False)
    assert "No space left" in exited.error
    assert lives(early)
    talk.until(Gone)
    request = EvidenceRequest((), (ProcessRanks("late", "", ()),), 60)
    assert str(lab.folder / "h") in lab.transport.gather_evidence("h", request).full
    (lab.folder / "filler").unlink()
    talk.send(Spawn(("late",)))
    assert talk.until(Spawned).process == "late"
    talk.send(Stop())
    assert talk.until(Gone) == Gone(("early", "late"))


@pytest.mark.parametrize("size", ["16m"])
def test_a_disk_that_fills_up_while_it_serves_is_told(
    lab: "Lab", sh: Make, lives: Callable[[int], bool]
) -> None:
    """And what serves goes on: a log that can't be written is no reason to end it."""
    talk = lab.start(sh("a", "while :; do echo a line; sleep 0.01; done"))
    talk.send(Spawn(("a",)))
    pid = talk.until(Spawned).pid
    fill(lab.folder)
    told = talk.until(DiskFull)
    assert (told.on, told.folder) == ("h", str(lab.folder / "h"))
    assert notes_of(told) == (f"h: {told.folder}: {told.free_bytes >> 10} KiB are left there",)
    assert lives(pid)
    talk.send(Stop())
    assert talk.until(Gone) == Gone(("a",))


def test_an_agent_that_finds_no_room(lab: "Lab", sh: Make) -> None:
    lab.transport.inspect("h")  # the bundle is there before the disk is full
    fill(lab.folder)
    with pytest.raises(Exception, match="No space left"):
        lab.start(sh("a", "exec sleep 1000"))
