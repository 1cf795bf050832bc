"""Measure what triage costs, and print a table. Nothing is asserted: machines differ.

usage: python bench/why.py    (logs of 2.5 GB are written to a temporary folder: TMPDIR)
"""

import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from dsr1.hosts.agent.process.tree_watch import TreeWatch
from dsr1.hosts.agent.server.member_watch import SERVING_S, STARTING_S
from dsr1.hosts.protocol.evidence import HostEvidence, ProcessLog, ProcessRanks
from dsr1.hosts.protocol.log_scan import scan_log
from dsr1.launcher.triage.judge import find_cause
from dsr1.launcher.triage.rules import load_rules, patterns

HOSTS, LOGS, LOG_BYTES = 16, 8, 20 << 20
CAPTURED = Path(__file__).parents[1] / "tests" / "data" / "failures" / "r2b"
Row = tuple[str, str]


def write_log(path: Path, size: int, end: bytes) -> None:
    """A real log's quiet lines, each with another number, and then its real end."""
    lines = [line for line in end.split(b"\n") if b" INFO " in line]
    with path.open("wb") as file:
        number = written = 0
        while written < size:
            number += 1
            written += file.write(b"%b %d\n" % (lines[number % len(lines)], number))
        file.write(end)


def scan_host(host: str, folder: Path) -> HostEvidence:
    wanted = patterns(load_rules())
    logs = (
        ProcessLog(
            ProcessRanks(path.stem, "main", (int(path.stem.partition("-")[2]),)),
            scan_log(path, wanted),
        )
        for path in sorted(folder.glob("*.log"))
    )
    return HostEvidence(host, logs=tuple(logs))


def make_host(root: Path, number: int, ends: tuple[bytes, bytes]) -> Path:
    """The cause is in the first host's first log, its peer's words in all others."""
    folder = root / f"node{number}"
    folder.mkdir()
    for log in range(LOGS):
        rank = number * LOGS + log
        write_log(folder / f"main-{rank}.log", LOG_BYTES, ends[0 if rank == 0 else 1])
    return folder


def children_s() -> float:
    """CPU seconds of those that have ended: what a busy machine does not change."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def judging(root: Path) -> Iterator[Row]:
    ends = ((CAPTURED / "main-0.log").read_bytes(), (CAPTURED / "main-1.log").read_bytes())
    folders = [make_host(root, number, ends) for number in range(HOSTS)]
    size = sum(path.stat().st_size for path in root.glob("*/*.log"))
    began = time.perf_counter()
    evidence = {"node0": scan_host("node0", folders[0])}
    one = time.perf_counter() - began
    yield f"one host scans {LOGS} logs of 20 MB, one core", f"{one:.2f} s"
    began, spent = time.perf_counter(), children_s()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        names = [folder.name for folder in folders]
        evidence = dict(zip(names, pool.map(scan_host, names, folders), strict=True))
    whole, spent = time.perf_counter() - began, children_s() - spent
    yield (
        f"{HOSTS} hosts x {LOGS} logs, {size >> 20} MiB, {os.cpu_count()} cores",
        f"{whole:.2f} s, {spent:.2f} s of CPU",
    )
    began = time.perf_counter()
    cause = find_cause(evidence, load_rules(), {})
    yield "the judgement of all", f"{(time.perf_counter() - began) * 1000:.0f} ms"
    yield (
        "its verdict",
        f"{cause.sign.host} rank {cause.sign.rank}: {cause.sign.what}" if cause else "",
    )


def growth(root: Path) -> Iterator[Row]:
    end = (CAPTURED / "main-0.log").read_bytes()
    for size in (20 << 20, 200 << 20):
        write_log(root / "main-0.log", size, end)
        began = time.perf_counter()
        scan_log(root / "main-0.log", patterns(load_rules()))
        yield f"a log of {size >> 20} MiB", f"{time.perf_counter() - began:.2f} s"


def watching() -> Iterator[Row]:
    """As a share of a core, with the processes of this machine."""
    with subprocess.Popen((sys.executable, "-c", "input()"), stdin=subprocess.PIPE) as child:
        watch, rounds = TreeWatch(), 100
        watch.look_for_members({"main-0": child.pid})
        began = time.process_time()
        for _ in range(rounds):
            watch.look_for_members({"main-0": child.pid})
            watch.collect()
        look_s = (time.process_time() - began) / rounds
        watch.close()
        child.terminate()
    count = sum(name.isdigit() for name in os.listdir("/proc"))  # noqa: PTH208
    yield f"a look for new members ({count} processes here)", f"{look_s * 1000:.2f} ms"
    yield "watching while it starts (five a second)", f"{look_s / STARTING_S:.3%} of a core"
    yield "watching while it serves (one a second)", f"{look_s / SERVING_S:.3%} of a core"


PARENT = "import subprocess, sys; subprocess.run((sys.executable, '-c', 'input()', 'VLLM::Worker'))"


def noticing(rounds: int = 20) -> Iterator[Row]:
    """From the signal to the told end, of a child whose parent collects it at once."""
    took = sorted(_notice_s() for _ in range(rounds))
    yield (
        f"a death is noticed after (median, worst of {rounds})",
        (f"{took[rounds // 2] * 1000:.1f} ms, {took[-1] * 1000:.1f} ms"),
    )


def _notice_s() -> float:
    command = (sys.executable, "-c", PARENT)
    with subprocess.Popen(command, stdin=subprocess.PIPE) as main:
        watch = TreeWatch()
        while not (named := watch.look_for_members({"main-0": main.pid})):
            time.sleep(0.01)
        began = time.perf_counter()
        os.kill(named[0].pid, signal.SIGKILL)
        select.select([watch], [], [])
        (death,) = watch.collect()
        took = time.perf_counter() - began
        watch.close()
        assert death.code == -signal.SIGKILL, death
    return took


def main() -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        for rows in (judging(Path(one)), growth(Path(other)), watching(), noticing()):
            for name, value in rows:
                print(f"{name:<60} {value}", flush=True)


if __name__ == "__main__":
    main()
