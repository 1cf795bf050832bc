"""Real vLLM on this machine's CPU, two ranks, ended in every way, on each rank, while it starts,
idles and serves: who is blamed, and for what. Prints a table; each row is a launch, a minute or
two.

usage: python bench/why_matrix.py [WORD ...]    (rows with all of the words: SIGSEGV serving)
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import httpx

from dsr1.launcher.run.store import Run

ROOT = Path(__file__).parents[1]
RUNTIME, MODEL = ROOT / ".cache" / "runtime", ROOT / ".cache" / "tiny-model"
MEMORY = Path("/sys/fs/cgroup/memory")
SIGNALS = ("SIGILL", "SIGKILL", "SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE", "SIGTERM")
STATES = ("starting", "idle", "serving")
PATIENCE_S, LIMIT = 600.0, 1200 << 20


@dataclass(frozen=True, slots=True)
class Case:
    """`component`: whom a signal is sent to. `expected`: rank and words of the cause; of a failure
    by itself its rule."""

    name: str
    state: str
    rank: int | None
    component: str
    sent: str
    expected: str

    @property
    def words(self) -> str:
        return f"{self.name} {self.state} rank {self.rank}"


def cases() -> Iterator[Case]:
    for sent, state, rank in product(SIGNALS[:3], STATES, (0, 1)):
        yield Case(f"{sent} Worker", state, rank, "Worker", sent, f"Worker ended by {sent}")
    for sent, rank in product(SIGNALS[3:6], (0, 1)):
        yield Case(f"{sent} Worker", "idle", rank, "Worker", sent, f"Worker ended by {sent}")
    for state, rank in product(STATES, (0, 1)):
        words = "EngineCore ended by SIGKILL"
        yield Case("SIGKILL EngineCore", state, rank, "EngineCore", "SIGKILL", words)
    for sent, rank in product(("SIGKILL", "SIGTERM"), (0, 1)):
        how = "ended by SIGKILL" if sent == "SIGKILL" else "shut down as if by SIGTERM"
        yield Case(f"{sent} main", "idle", rank, "main", sent, f"its main process {how}")
    for state, rank in product(("idle", "serving"), (0, 1)):
        yield Case("SIGSTOP Worker", state, rank, "Worker", "SIGSTOP", "Worker is stopped")
    yield Case("SIGKILL coordinator", "idle", 0, "DPCoordinator", "SIGKILL", "DPCoordinator ended")
    yield Case("broken weights", "starting", None, "", "", "model.safetensors")
    yield Case("no config.json", "starting", None, "", "", "model.")
    yield Case("memory limit", "starting", None, "", "", "host.oom")


def launch(case: Case, state: Path, model: Path) -> "subprocess.Popen[bytes]":
    base = 13000 + os.getpid() % 300 * 20
    ports = ("--set", f"ports.base={base}", "--set", f"frontend.port={base + 9000}")
    command = (sys.executable, "-m", "dsr1.launcher.cli.main", "launch", "tiny", "--name", "m")
    options = ("--venv", str(RUNTIME), "--model", str(model), "--no-check", *ports)
    env = {**os.environ, "DSR1_STATE_DIR": str(state)}
    limit = case.name == "memory limit"
    return subprocess.Popen(
        (*command, *options),
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=_limit_memory if limit else None,
    )


def _limit_memory() -> None:
    group = MEMORY / "dsr1-why-matrix"
    group.mkdir(exist_ok=True)
    (group / "memory.limit_in_bytes").write_text(str(LIMIT))
    (group / "cgroup.procs").write_text(str(os.getpid()))


def make_model(case: Case, folder: Path) -> Path:
    if case.sent or case.name == "memory limit":
        return MODEL
    shutil.copytree(MODEL, folder / "model")
    if case.name == "broken weights":
        weights = next((folder / "model").glob("*.safetensors"))
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        (folder / "model" / "config.json").unlink()
    return folder / "model"


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.1)


def pid_of(run: Run, case: Case) -> int:
    """As the agents have told it; 0: it isn't there yet."""
    process, found = f"main-{case.rank}", 0
    for path in run.folder.glob("hosts/*/events.jsonl"):
        for line in path.read_bytes().splitlines():
            told = json.loads(line)
            kind = "Spawned" if case.component == "main" else "MemberNamed"
            if (told["event"], told.get("process")) == (kind, process):
                named = told.get("component", "main").startswith(case.component)
                found = told["pid"] if named else found
    return found


def ask(run: Run, over: threading.Event) -> None:
    service = run.plan().service
    body = {"model": service.model, "prompt": "one two three", "max_tokens": 64}
    while not over.is_set():
        with suppress(httpx.HTTPError):
            httpx.post(f"{service.url}/v1/completions", json=body, timeout=20)


def hurt(run: Run, case: Case) -> None:
    until(lambda: (run.folder / "plan.json").exists())
    if case.state != "starting":
        until(lambda: run.state().phase == "ready" or run.state().ended)
    over = threading.Event()
    load = threading.Thread(target=ask, args=(run, over))
    if case.state == "serving":
        load.start()
    until(lambda: pid_of(run, case))
    os.kill(pid_of(run, case), getattr(signal, case.sent))
    if case.sent != "SIGSTOP":
        until(lambda: run.state().cause)
    over.set()
    if load.is_alive():
        load.join()


def judge(run: Run, case: Case, state: Path) -> str:
    """`right`, else what was said. The line shown is the first of `dsr1 why`."""
    command = (sys.executable, "-m", "dsr1.launcher.cli.main")
    env = {**os.environ, "DSR1_STATE_DIR": str(state)}
    asked = subprocess.run(
        (*command, "why", "m", "--json"), env=env, capture_output=True, text=True, check=False
    )
    try:
        sign = json.loads(asked.stdout)["data"]["sign"]
    except (ValueError, TypeError, KeyError):
        return f"WRONG: no cause: {(asked.stdout + asked.stderr)[:100]}"
    told = f"{sign['rule']} {sign['what']}"
    right = case.expected in told and case.rank in (None, sign["rank"])
    return f"{'right' if right else 'WRONG'}: rank {sign['rank']}: {told[:90]}"


def stop(state: Path) -> None:
    command = (sys.executable, "-m", "dsr1.launcher.cli.main", "stop", "m")
    env = {**os.environ, "DSR1_STATE_DIR": str(state)}
    subprocess.run(command, env=env, capture_output=True, check=False)


def play(case: Case) -> str:
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        launched = launch(case, state, make_model(case, Path(folder)))
        run = Run(state / "runs" / "m")
        try:
            if case.sent:
                hurt(run, case)
            else:
                launched.wait(PATIENCE_S)
            return judge(run, case, state)
        except (TimeoutError, subprocess.TimeoutExpired):
            return "WRONG: nothing happened in time"
        finally:
            stop(state)
            launched.wait()


def main() -> None:
    wanted = [case for case in cases() if all(word in case.words for word in sys.argv[1:])]
    right = 0
    for case in wanted:
        began = time.monotonic()
        verdict = play(case)
        right += verdict.startswith("right")
        print(f"{case.words:<40} {time.monotonic() - began:5.0f} s  {verdict}", flush=True)
    print(f"{right} of {len(wanted)} right")


if __name__ == "__main__":
    main()
