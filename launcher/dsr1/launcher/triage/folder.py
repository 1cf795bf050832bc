"""Evidence from a folder of logs: a run's own, or one that somebody sent, of any launcher.

Each log is taken for a process. In a run's folder (`hosts/HOST/logs/PROCESS.log`) the host is
known, and plan.json tells engines and ranks; elsewhere a log's own lines tell its ranks, and
srt-slurm names its files by host, role and worker, all in one folder.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from dsr1.hosts.errors import InputError
from dsr1.hosts.protocol.bounded import parse_bounded
from dsr1.hosts.protocol.evidence import HostEvidence, ProcessLog, ProcessRanks
from dsr1.hosts.protocol.log_scan import LogScan, scan_log
from dsr1.launcher.triage.log_line import RANK
from dsr1.launcher.triage.rules import load_rules, patterns

ENDINGS = (".log", ".out", ".err", ".txt")
MOST_LOGS = 4096
MUCH_BYTES = 64 << 20
# dsr1's own logs and what a bundle has beside logs, which only repeat what others say.
OWN = ("agent", "supervisor", "README", "versions", "why", "problems", "job")
HERE = "here"
HEAD_BYTES = 1 << 20
# srt-slurm: node07_decode_w0.err, with .out beside it; a worker may have several nodes.
_SRT = re.compile(
    r"(?P<host>[\w.-]{1,64}?)_(?P<engine>(?:prefill|decode|agg|aggregated)_w\d{1,4})(?:[_.].{0,64})?"
)
# NCCL_DEBUG=INFO says once by which address its host is known to others.
_ADDRESS = re.compile(rb"NCCL INFO Bootstrap ?: Using [^:\s]{1,64}:(\d{1,3}(?:\.\d{1,3}){3})<")

Ranks = Mapping[str, tuple[str, tuple[int, ...]]]
"""Engine and global DP ranks, by the process's name."""


def planned_ranks(folder: Path) -> Ranks:
    """By plan.json of a run's folder, whichever version wrote it; empty: there is none."""
    try:
        plain = parse_bounded((folder / "plan.json").read_bytes())
        hosts = plain.get("hosts", [plain])  # a host's own part of a plan has the same name
        processes = [process for host in hosts for process in host["processes"]]
        return {one["name"]: (_engine(one), tuple(one["ranks"])) for one in processes}
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return {}


def _engine(process: Mapping[str, Any]) -> str:
    return str(process["group"]) if process["ranks"] else ""


def read_folder(folder: Path, ranks: Ranks) -> dict[str, HostEvidence]:
    """By host. InputError: it can't be read, or holds no log."""
    logs: dict[str, list[ProcessLog]] = {}
    paths = list(_logs(folder))
    for path, scan in zip(paths, _scan_all(paths), strict=True):
        host, engine = place_of(path, folder)
        logs.setdefault(host, []).append(_process_log(path, engine, scan, ranks))
    if not logs:
        raise InputError(
            f"{folder}: holds no logs; wanted are files that end in {', '.join(ENDINGS)}"
        )
    return {host: HostEvidence(host, logs=tuple(ones)) for host, ones in logs.items()}


def _scan_all(paths: Sequence[Path]) -> list[LogScan]:
    """On all cores where there is much to read."""
    size = sum(path.stat().st_size for path in paths)
    if size < MUCH_BYTES or len(paths) == 1:
        return [_scan(path) for path in paths]
    with ProcessPoolExecutor(mp_context=get_context("fork")) as pool:
        return list(pool.map(_scan, paths))


def _scan(path: Path) -> LogScan:
    try:
        return scan_log(path, patterns(load_rules()))
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}") from None


def _logs(folder: Path) -> Iterator[Path]:
    found = [path for path in folder.rglob("*") if path.suffix in ENDINGS and path.is_file()]
    if len(found) > MOST_LOGS:
        raise InputError(f"{folder}: {len(found)} logs; wanted: at most {MOST_LOGS}")
    return (path for path in sorted(found) if path.stem not in OWN)


def place_of(path: Path, folder: Path) -> tuple[str, str]:
    """Its host, and its engine where the name tells one. `hosts/HOST/...` of a run's folder, else
    the folder that the log lies in, where there are several, else what srt-slurm calls it."""
    parts = path.relative_to(folder).parts
    if "hosts" in parts[:-2]:
        return parts[parts.index("hosts") + 1], ""
    if found := _SRT.fullmatch(path.stem):
        return found["host"], found["engine"]
    return parts[-2] if len(parts) > 1 and parts[-2] != "logs" else HERE, ""


def _process_log(path: Path, engine: str, scan: LogScan, ranks: Ranks) -> ProcessLog:
    planned, own = ranks.get(path.stem, (engine, ()))
    of = ProcessRanks(engine or path.stem, planned, own or _ranks_in(scan))
    return ProcessLog(of, scan)


def read_addresses(folder: Path) -> dict[str, str]:
    """Hosts by their address, as far as their logs tell it. Of logs whose host nothing tells no
    address is known."""
    found: dict[str, str] = {}
    for path in _logs(folder):
        host = place_of(path, folder)[0]
        if host != HERE and (told := _ADDRESS.search(_head(path))):
            found[told[1].decode()] = host
    return found


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}") from None


def _ranks_in(scan: LogScan) -> tuple[int, ...]:
    told = {int(found[1]) for hit in scan.hits if (found := RANK.search(hit.text))}
    return tuple(sorted(told))
