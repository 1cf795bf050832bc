"""A log that is bounded while a process writes it: a follower misses no line, and the disk has no
more of it than was asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dsr1.hosts.agent.process.logs import read_tail
from dsr1.hosts.agent.process.rotation import LogRotation
from dsr1.hosts.protocol.commands import Spawn
from dsr1.hosts.protocol.log_lines import LogFile, kept_parts, read_logs
from dsr1.hosts.protocol.process import Process

if TYPE_CHECKING:
    from tests.agent.conftest import Lab

LINES, MOST = 20_000, 3 << 20


def numbers(texts: list[str]) -> list[int]:
    return [int(line.split()[1]) for text in texts for line in text.splitlines()]


def write_and_rotate(log: Path, rounds: int, keep: int, follower: LogFile) -> list[str]:
    """What a follower reads that looks every third time."""
    rotation, texts = LogRotation(log, MOST, keep), []
    with log.open("ab") as file:
        for number in range(rounds * LINES):
            file.write(b"line %d %s\n" % (number, b"x" * 50))
            if number % LINES == LINES - 1:
                file.flush()
                while rotation.step():
                    pass
            if number % (3 * LINES) == 0:
                texts += list(follower.new_text())
    return texts + list(follower.new_text())


def test_followers_miss_no_line(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "a.log"
    log.touch()
    early = write_and_rotate(log, 15, 1000, LogFile(log))
    late = [text for _, text in read_logs(tmp_path, lambda: False)]
    assert numbers(early) == numbers(late) == list(range(15 * LINES))
    assert log.stat().st_blocks * 512 <= MOST
    assert read_tail(log)[-1].startswith(f"line {15 * LINES - 1} ")


def test_only_so_many_parts_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.touch()
    write_and_rotate(log, 15, 2, LogFile(log))
    assert len(kept_parts(log)) == 2
    left = numbers(list(LogFile(log).new_text()))
    assert left == list(range(left[0], 15 * LINES))
    again = LogRotation(log, MOST, 2)
    assert not again.step()


def test_an_agent_bounds_the_logs_of_its_processes(
    lab: "Lab", eventually: Callable[[Callable[[], bool]], None]
) -> None:
    script = "seq -f 'line %.0f' 1 500000; exec sleep 1000"
    process = Process("a", "g", "h", ("sh", "-c", script), grace_s=0.5)
    talk = lab.start(process, log_most_bytes=1 << 20)
    talk.send(Spawn(("a",)))
    log = lab.folder / "h" / "logs" / "a.log"
    eventually(lambda: len(kept_parts(log)) > 0)
    eventually(lambda: log.stat().st_blocks * 512 <= 1 << 20)
    texts = [text for _, text in lab.transport.logs("h", lambda: False)]
    assert numbers(texts)[-1] == 500_000
