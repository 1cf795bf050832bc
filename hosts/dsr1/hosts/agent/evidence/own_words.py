"""What an agent itself has written: its events and its log, as far as a bug report wants them."""

from pathlib import Path

from dsr1.hosts.agent.facts.reading.files import read_tail

FILES = ("events.jsonl", "agent.log")
TAIL_BYTES = 4 << 20


def read_own_words(folder: Path) -> dict[str, str]:
    """By the file's name, the end of each that is there."""
    told = {name: read_tail(folder / name, TAIL_BYTES) for name in FILES}
    return {name: text.decode(errors="replace") for name, text in told.items() if text}
