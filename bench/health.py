"""Measure what the watch over ranks costs, and how soon a rank that hangs is told, and print a
table. Nothing is asserted: machines differ.

usage: python bench/health.py [SECONDS]    (`--real`: with real vLLM on the CPU, `make runtime
model` first; else with its HTTP surface alone, tests/fakes)
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import httpx
import psutil

from dsr1.launcher.health.counters import KEPT
from dsr1.launcher.run.store import Run

ROOT = Path(__file__).parents[1]
DSR1 = str(Path(sys.executable).with_name("dsr1"))
CAPTURED = ROOT / "tests" / "data" / "h200-x4" / "disagg-metrics.txt"
RANKS, PORT, CLIENTS = 8, 24600, 4
Row = tuple[str, str]


def call(*argv: str) -> None:
    done = subprocess.run((DSR1, *argv), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)


def fake_recipe(folder: Path) -> Path:
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT}/tests/fakes exec {sys.executable} "$@"\n')
    python.chmod(0o700)
    recipe = {
        "name": "fake",
        "stack": "vllm",
        "model": {"path": "/nowhere/model", "served_name": "tiny"},
        "runtime": {"python": str(python), "device": "cpu", "env": {"FAKE_VLLM": str(folder)}},
        "frontend": {"port": PORT},
        "ports": {"base": PORT + 1},
        "engines": {"main": {"ranks_per_node": RANKS, "layout": "per_gpu"}},
    }
    file = folder / "fake.yaml"
    file.write_text(json.dumps(recipe))
    return file


def cpu_s(*pids: int) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(one.user + one.system for one in times)


def of_watch(run: Run) -> tuple[int, ...]:
    """The supervisor, and the agents."""
    supervisor = run.supervisor()
    assert supervisor is not None
    agents = (run.folder / "hosts").glob("*/agent.json")
    return (supervisor, *(json.loads(file.read_text())["pid"] for file in agents))


def counted(run: Run, name: str) -> float:
    """A counter of all ranks."""
    urls = [worker.metrics_url for worker in run.plan().service.workers]
    lines = [line for url in urls for line in httpx.get(url).text.splitlines()]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + "{"))


def idle(run: Run, seconds: float) -> Iterator[Row]:
    ranks, pids = len(run.plan().ranks), of_watch(run)
    cpu, tokens = cpu_s(*pids), counted(run, "vllm:generation_tokens_total")
    answers = counted(run, "vllm:request_success_total")
    time.sleep(seconds)
    spent, asked = cpu_s(*pids) - cpu, counted(run, "vllm:request_success_total") - answers
    written = counted(run, "vllm:generation_tokens_total") - tokens
    yield "supervisor and agent, CPU", f"{1000 * spent / seconds:.1f} ms a second, {ranks} ranks"
    yield "questions, dsr1's and Dynamo's", f"{60 * asked / seconds / ranks:.1f} a minute and rank"
    yield "their tokens", f"{60 * written / seconds / ranks:.0f} a minute and rank"


def passed_on() -> Iterator[Row]:
    whole = CAPTURED.read_text()
    kept = [line for line in whole.splitlines(True) if line.startswith(KEPT)]
    sizes = f"{sum(map(len, kept)) / 1024:.1f} KiB"
    yield "two workers' metrics as the agent passes them on (4 ranks, H200)", sizes


def load(url: str, seconds: float) -> float:
    """Tokens a second of all clients."""
    until, tokens = time.monotonic() + seconds, [0] * CLIENTS

    def ask(client: int) -> None:
        body = {"model": "tiny", "max_tokens": 64, "temperature": 0, "ignore_eos": True}
        while time.monotonic() < until:
            words = [{"role": "user", "content": f"{client} {time.monotonic()}"}]
            reply = httpx.post(url, json={**body, "messages": words}, timeout=300).json()
            tokens[client] += reply["usage"]["completion_tokens"]

    threads = [threading.Thread(target=ask, args=(client,)) for client in range(CLIENTS)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(tokens) / (time.monotonic() - began)


UNWATCHED = (
    *("--set", "health={every: 1d, answers: false}"),
    *("--set", "runtime.env.DYN_HEALTH_CHECK_ENABLED=false"),
)
REAL = (
    *("--venv", str(ROOT / ".cache" / "runtime"), "--model", str(ROOT / ".cache" / "tiny-model")),
    *("--set", f"ports.base={PORT + 1}", "--set", f"frontend.port={PORT}"),
)


def real(runs: Path, seconds: float) -> Iterator[Row]:
    for name, more in (("watched", ()), ("unwatched", UNWATCHED), ("again", ())):
        call("launch", "tiny", "--name", name, *REAL, *more)
        run = Run(runs / name)
        url = f"{run.plan().service.url}/v1/chat/completions"
        load(url, 20)  # what is compiled at the first requests
        yield f"{name}: {CLIENTS} clients", f"{load(url, seconds):.1f} tokens/s"
        if name == "watched":
            yield from idle(run, seconds)
        call("stop", name)


def fake(runs: Path, folder: Path, seconds: float) -> Iterator[Row]:
    call("launch", str(fake_recipe(folder)), "--name", "fake", "--no-check")
    run = Run(runs / "fake")
    yield from idle(run, seconds)
    (folder / "3").write_text("stall")
    began = time.monotonic()
    yield "a rank that hangs, busy: suspect after", f"{until(run, began, 'degraded'):.0f} s"
    yield "failed after", f"{until(run, began, 'stopping'):.0f} s"
    call("stop", "fake")


def until(run: Run, began: float, phase: str) -> float:
    while run.state().phase not in (phase, "failed"):
        time.sleep(0.1)
    return time.monotonic() - began


def main() -> None:
    seconds = float(next((word for word in sys.argv[1:] if word[0] != "-"), "60"))
    with tempfile.TemporaryDirectory() as made:
        os.environ["DSR1_STATE_DIR"] = made
        runs = Path(made) / "runs"
        is_real = "--real" in sys.argv
        rows = real(runs, seconds) if is_real else fake(runs, Path(made), seconds)
        for name, value in chain(passed_on(), rows):
            print(f"{name:<66} {value}", flush=True)


if __name__ == "__main__":
    main()
