"""Measure what dsr1 promises to be quick at, and print a table. Nothing is asserted: machines
differ.

usage: python bench/run.py    (the rows with processes need .cache/runtime and .cache/tiny-model:
`make runtime model`)
"""

import contextlib
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil

from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.log_lines import LogFile
from dsr1.launcher.plan.plan import ServiceTarget, make_plan
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.run.store import Run
from dsr1.launcher.smoke.readiness import chat

ROOT = Path(__file__).parents[1]
DSR1 = (str(Path(sys.executable).with_name("dsr1")),)
RUNTIME, MODEL = ROOT / ".cache" / "runtime", ROOT / ".cache" / "tiny-model"
Row = tuple[str, str, str]


def wall(*argv: str) -> float:
    """Median wall milliseconds of seven runs of a command, after one that isn't counted."""
    times = []
    for _ in range(8):
        began = time.perf_counter()
        subprocess.run(argv, check=True, capture_output=True)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times[1:])


def commands() -> Iterator[Row]:
    """Wall time, and how often `python -c pass` would fit into it: that holds on every machine."""
    least = wall(sys.executable, "-c", "pass")
    yield "python -c pass", f"{least:.0f} ms", ""
    plan = ("plan", "dsr1-dep", "--hosts", "a,b", "--no-facts")
    rows = (("--help", ("--help",), 7), ("plan, 16 ranks, no facts", plan, 25), ("ps", ("ps",), 25))
    for name, arguments, wanted in rows:
        taken = wall(*DSR1, *arguments)
        yield f"dsr1 {name}", f"{taken:.0f} ms, {taken / least:.1f} x", f"{wanted} x"


def large_plan() -> Iterator[Row]:
    hosts = tuple(Host(f"node{n}", f"10.0.{n // 250}.{n % 250 + 1}", "eth0") for n in range(1000))
    recipe = load_recipe("dsr1-dep")
    began = time.perf_counter()
    plan = make_plan(recipe, hosts, "big", "/run/big")
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    yield (
        f"plan of {len(plan.ranks)} ranks on 1,000 hosts",
        f"{seconds:.2f} s, {peak:.0f} MB",
        "1 s, 200 MB",
    )


def large_log() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "main-0.log"
        block = b"(Worker_DP0_EP0 pid=1) INFO 11-24 03:13:55 [cpu.py:170] a line of a log\n" * 14000
        with file.open("wb") as opened:
            for _ in range(1024):
                opened.write(block)
        before = psutil.Process().memory_info().rss
        began = time.perf_counter()
        lines = sum(text.count("\n") + 1 for text in LogFile(file).new_text())
        seconds = time.perf_counter() - began
        grown = (psutil.Process().memory_info().rss - before) / 2**20
        size = file.stat().st_size / 2**30
        yield (
            f"a log of {size:.2f} GB, {lines} lines",
            f"{seconds:.0f} s, grew {grown:.0f} MB",
            "does not grow",
        )


def deployment() -> Iterator[Row]:
    """The mocker's whole life: when it is ready, what it costs to watch, how soon a death is
    noticed."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DSR1_STATE_DIR"] = folder
        where = (
            "--venv",
            str(RUNTIME),
            "--model",
            str(MODEL),
            "--set",
            "ports.base=30000",
            "--set",
            "frontend.port=29999",
        )
        simulated = ("--set", "stack=mocker", "--set", "engines.main={nodes: 2}")
        run = Run(Path(folder) / "runs" / "bench")
        argv = (*DSR1, "launch", "tiny", "--name", "bench", *where, *simulated)
        try:
            launch = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
            first = first_completion(launch)
            launch.wait()
            yield "mocker, launch to ready", f"{run.state().ready_after} s", ""
            yield (
                "ready told after the first completion",
                f"{(run.state().since - first) * 1000:.0f} ms",
                "250 ms",
            )
            yield from idle(run)
            yield from death(run)
        finally:
            subprocess.run((*DSR1, "stop", "bench"), check=False, capture_output=True)


def first_completion(launch: "subprocess.Popen[bytes]") -> float:
    """When a chat that somebody else tries all the time is first answered, in seconds since the
    epoch."""
    service = ServiceTarget("127.0.0.1", 29999, "tiny", None)
    with httpx.Client(timeout=5, trust_env=False) as client:
        while launch.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                chat(service, client, tokens=1)
                return time.time()
            time.sleep(0.005)
    return time.time()


def idle(run: Run) -> Iterator[Row]:
    agents = [
        json.loads(file.read_text())["pid"] for file in (run.folder / "hosts").glob("*/agent.json")
    ]
    watched = {
        "supervisor": run.supervisor(),
        **{f"agent {n}": pid for n, pid in enumerate(agents)},
    }
    processes = {name: psutil.Process(pid) for name, pid in watched.items()}
    before = {name: sum(process.cpu_times()[:2]) for name, process in processes.items()}
    time.sleep(10)
    for name, process in processes.items():
        share = (sum(process.cpu_times()[:2]) - before[name]) / 10
        yield (
            f"{name}, idle for 10 s",
            f"{share:.1%}, {process.memory_info().rss / 2**20:.0f} MB",
            "1%, 60 MB",
        )


def death(run: Run) -> Iterator[Row]:
    file = next((run.folder / "hosts").glob("*/processes/main-1.json"))
    began = time.perf_counter()
    os.kill(json.loads(file.read_text())["pid"], signal.SIGKILL)
    noticed = until(lambda: run.state().phase in ("stopping", "failed"), began)
    gone = until(lambda: run.state().phase == "failed", began)
    yield "SIGKILL of a rank: noticed", f"{noticed:.2f} s", "0.5 s"
    yield "all groups proven gone", f"{gone:.2f} s", "12 s"


def until(condition: Callable[[], bool], began: float) -> float:
    while not condition():
        time.sleep(0.01)
    return time.perf_counter() - began


def main() -> None:
    parts = [commands, large_plan, large_log]
    if (RUNTIME / "bin" / "python").exists():
        parts.append(deployment)
    else:
        print("left out: the rows with processes (no .cache/runtime)")
    print(f"{'what':<46} {'measured':<22} wanted")
    for part in parts:
        for what, measured, wanted in part():
            print(f"{what:<46} {measured:<22} {wanted}", flush=True)


if __name__ == "__main__":
    main()
