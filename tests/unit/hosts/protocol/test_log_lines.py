"""Logs: named, whole lines, and what is written meanwhile."""

from collections.abc import Iterator
from pathlib import Path

from dsr1.hosts.protocol.log_lines import BLOCK, LogFile, read_logs


def make_log(folder: Path, text: bytes) -> Path:
    file = folder / "logs" / "main-0.log"
    file.parent.mkdir(parents=True)
    file.write_bytes(text)
    return file


def test_lines_carry_the_process_and_bars_are_lines(tmp_path: Path) -> None:
    make_log(tmp_path, b"one\n 10%\r 20%\r\ntwo")
    found = list(read_logs(tmp_path, lambda: False))
    assert found == [("main-0", "one\n 10%\n 20%"), ("main-0", "two")]


def test_following_sees_what_is_written_meanwhile(tmp_path: Path) -> None:
    file = make_log(tmp_path, b"a\nhal")
    rounds: Iterator[bool] = iter([True, False])

    def follow() -> bool:
        more = next(rounds)
        if not more:
            with file.open("ab") as opened:
                opened.write(b"f\n")
        return more

    assert [text for _, text in read_logs(tmp_path, follow)] == ["a", "half"]


def test_a_line_without_end_does_not_grow(tmp_path: Path) -> None:
    log = LogFile(make_log(tmp_path, b"x" * (3 * BLOCK)))
    assert max(map(len, [*log.new_text(), *log.rest()])) <= 2 * BLOCK
