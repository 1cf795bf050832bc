"""What an agent itself has written: its events and its log, as far as a bug report wants them."""

from pathlib import Path

FILES = ("events.jsonl", "agent.log")
TAIL_BYTES = 4 << 20


def read_own_words(folder: Path) -> dict[str, str]:
    """By the file's name, the end of each that is there."""
    return {name: text for name in FILES if (text := _tail(folder / name))}


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            return file.read(TAIL_BYTES).decode(errors="replace")
    except OSError:
        return ""
