"""Who wrote a line of a process's log, and when. Pure."""

import re
from datetime import datetime, timedelta, timezone

# `(Worker_DP1_EP1 pid=12) ERROR 11-26 11:29:48 [file.py:1] ...`, `(EngineCore_DP0 pid=3) ...`
_WRITER = re.compile(r"^\((?P<name>\w+)(?: pid=\d+)?\)")
_LOADER = re.compile(r"VLLM::(?P<name>\w+): ")  # glibc's loader, by the process's title
RANK = re.compile(r"_DP(\d+)")
# A main process tells of one of its engines.
_NAMED = re.compile(r"(?:Engine core process |Failed core proc\(s\): \{')(EngineCore\w{0,40})")
_VLLM = re.compile(r"\b(?P<month>\d\d)-(?P<day>\d\d) (?P<clock>\d\d:\d\d:\d\d)\b")
_ISO = re.compile(r"\b(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d+)?)")


_LEVEL = re.compile(
    r"^(?:\(\w[\w ]*(?: pid=\d+)?\) |\S+Z +|\S*\d\d:\d\d:\d\d\S* +)?(?P<level>[A-Z]+)\b"
)
LEVELS = {"DEBUG": "info", "INFO": "info", "TRACE": "info", "WARN": "warning", "WARNING": "warning"}


def level_of(line: str) -> str:
    """`info`, `warning`, or `error` for all else: a traceback's lines have no level of their
    own."""
    found = _LEVEL.match(line)
    return LEVELS.get(found["level"], "error") if found else "error"


def writer_of(line: str) -> str:
    """vLLM's name of the process that wrote it, or that it tells of; empty: the line doesn't
    say."""
    if told := _NAMED.search(line):
        return told[1]
    found = _WRITER.match(line) or _LOADER.search(line)
    return found["name"] if found else ""


def rank_of(writer: str, ranks: tuple[int, ...]) -> int | None:
    """The global DP rank that a writer's name tells, or the only one that the process has."""
    found = RANK.search(writer)
    if found:
        return int(found[1])
    return ranks[0] if len(ranks) == 1 else None


def time_of(line: str, year: int, utc_offset_s: float = 0.0) -> float | None:
    """Seconds since the epoch. vLLM writes local time without a year, Dynamo UTC."""
    if iso := _ISO.search(line):
        return _epoch(f"{iso[1]} {iso[2]}", 0.0)
    if short := _VLLM.search(line):
        text = f"{year}-{short['month']}-{short['day']} {short['clock']}"
        return _epoch(text, utc_offset_s)
    return None


def _epoch(text: str, utc_offset_s: float) -> float | None:
    try:
        plain = datetime.fromisoformat(text)
    except ValueError:
        return None
    return plain.replace(tzinfo=timezone(timedelta(seconds=utc_offset_s))).timestamp()
