"""The whole of R1 on one host of eight GPUs, with random weights: 61 layers, 86 GB of weights a GPU.

DSR1_GPU_MODEL has R1's own config.json. Every figure is a line of DSR1_GPU_RESULTS (a file; default:
one of the test's) as soon as it is known: what ends early loses nothing. DSR1_GPU_REHEARSE=8 walks
through all of it with simulated engines on any CPU, so that no hour of GPUs is lost to a slip.
DSR1_GPU_LAYERS does it with so many layers on as many GPUs as there are, each with the experts that
it has of eight: 61 on four GPUs take of each what the whole takes of eight.
"""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.answers import data_of
from tests.gpu.host import (
    REHEARSED,
    Trial,
    answering,
    dsr1,
    kept_caches,
    total_memory,
    used_memory,
)
from tests.gpu.processes import engine_core
from tests.waiting import until

from dsr1.launcher.run.stop import stop_run
from dsr1.launcher.run.store import Run

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(3600)]
GPUS, MIB, EXPERTS = 8, 139_000, 256
LAYERS = int(os.environ.get("DSR1_GPU_LAYERS") or 0)
AT_ONCE = "1,2" if REHEARSED else "64,256,512,1024"
LENGTHS = ("--isl", "16", "--osl", "4") if REHEARSED else ("--isl", "200", "--osl", "128")
RANDOM = "args.load-format=dummy"
NO_DEEPEP = "all2all_backend=null"
"""DeepEP has no wheel: vLLM's own way to exchange tokens within a host is by NCCL."""
EXPERT_KERNELS = "deep_gemm"
"""As DeepEP takes; left to itself vLLM has FlashInfer compile others, for minutes."""


class Figures:
    """What was measured, a line of JSON each."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def add(self, what: str, **figures: object) -> None:
        with self._file.open("a") as lines:
            lines.write(json.dumps({"what": what, "gpu_mib": used_memory(), **figures}) + "\n")


@pytest.fixture
def figures(tmp_path: Path) -> Figures:
    return Figures(Path(os.environ.get("DSR1_GPU_RESULTS") or tmp_path / "whole.jsonl"))


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first start compiles for all."""
    return kept_caches(tmp_path_factory)


@pytest.fixture
def gpus(trial: Trial) -> int:
    """How many take part."""
    if REHEARSED or LAYERS:
        return len(used_memory())
    room = len([mib for mib in total_memory() if mib >= MIB])
    if room < GPUS:
        pytest.skip(f"the whole of R1 needs {GPUS} GPUs of {MIB} MiB or more; here: {room}")
    return GPUS


@pytest.fixture
def whole(trial: Trial, gpus: int) -> Iterator[Trial]:
    """The GPUs are as idle afterwards as they were."""
    idle = used_memory()
    yield trial.of("dsr1-dep")
    assert used_memory() == idle


@pytest.mark.parametrize("stack", ["dynamo", "vllm"])
def test_it_starts_twice_serves_and_ends(
    whole: Trial, gpus: int, figures: Figures, stack: str
) -> None:
    changes = (f"stack={stack}", *dep(gpus))
    for start in ("first", "second"):
        run = whole.launch(f"{stack}-{start}", *changes)
        figures.add("ready", stack=stack, start=start, seconds=run.state().ready_after)
        figures.add("memory", stack=stack, **memory(whole, run, changes))
        assert answering(run) == list(range(gpus))
        if start == "second":
            load(run, figures)
        assert stop_run(run) == ()
        figures.add("stopped", stack=stack, start=start)


def test_balanced_experts(whole: Trial, gpus: int, figures: Figures) -> None:
    balance = f"{{num_redundant_experts: {4 * gpus}, window_size: 100, step_interval: 300}}"
    changes = ("stack=dynamo", *dep(gpus), f"engines.main.eplb={balance}")
    run = whole.launch("balanced", *changes)
    figures.add("ready", layout="EPLB", seconds=run.state().ready_after)
    figures.add("memory", layout="EPLB", **memory(whole, run, changes))
    assert answering(run) == list(range(gpus))
    load(run, figures)
    assert stop_run(run) == ()


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGSTOP])
def test_a_rank_that_ends_or_hangs(
    whole: Trial, gpus: int, figures: Figures, ending: signal.Signals
) -> None:
    run = whole.launch(f"lost-{ending.name.lower()}", "stack=dynamo", *dep(gpus), "restart.max=0")
    engine_core(run, gpus - 1).send_signal(ending)
    until(lambda: run.state().ended, "the end of the run")
    why = dsr1("why", run.name)
    figures.add("death", signal=ending.name, reason=run.state().reason, why=why.stdout)
    assert why.returncode == 0, why.stderr
    assert stop_run(run) == ()
    if not REHEARSED:
        assert re.search(rf"rank {gpus - 1} \(main\)", why.stdout.splitlines()[0])


def test_prefill_and_decode_apart(whole: Trial, gpus: int, figures: Figures) -> None:
    """Half of the GPUs each: a third of R1's layers, since four don't hold all."""
    slices = [
        change
        for engine in ("prefill", "decode")
        for change in part(engine, gpus, gpus // 2, min(20, LAYERS or 20))
    ]
    run = whole.of("dsr1-disagg-8gpu").launch("apart", *slices, "timeouts.ready=3600")
    figures.add(
        "ready", layout=f"prefill {gpus // 2} + decode {gpus // 2}", seconds=run.state().ready_after
    )
    assert dsr1("smoke", run.name).returncode == 0
    load(run, figures, at_once=AT_ONCE.split(",")[0])
    assert stop_run(run) == ()


def test_two_hosts_of_half_the_gpus(whole: Trial, gpus: int, figures: Figures) -> None:
    """This machine stands in for both: two agents, each with four of its eight GPUs."""
    halves = ("engines.main.nodes=2", f"engines.main.ranks_per_node={gpus // 2}")
    run = whole.launch("halves", "stack=dynamo", *dep(gpus), *halves)
    figures.add("ready", layout=f"two hosts of {gpus // 2}", seconds=run.state().ready_after)
    assert len(list((run.folder / "hosts").glob("*/agent.json"))) == 2
    assert answering(run) == list(range(gpus))
    load(run, figures, at_once=AT_ONCE.split(",")[0])
    assert stop_run(run) == ()


def dep(gpus: int) -> tuple[str, ...]:
    """Changes to `dsr1-dep` for all GPUs of this host."""
    sizes = part("main", gpus, gpus, LAYERS)
    return (*sizes, f"engines.main.{NO_DEEPEP}", "timeouts.ready=3600")


def part(engine: str, gpus: int, ranks: int, layers: int) -> tuple[str, ...]:
    """An engine of `ranks` with random weights, and of R1 so many layers, or all (0), and the
    experts that `gpus` hold of it."""
    dummy = (f"engines.{engine}.{RANDOM}", f"engines.{engine}.moe_backend={EXPERT_KERNELS}")
    random = (*dummy, f"engines.{engine}.ranks_per_node={ranks}")
    if not layers:
        return random
    fewer = f"{{num_hidden_layers: {layers}, n_routed_experts: {EXPERTS * gpus // GPUS}}}"
    return (*random, f"engines.{engine}.args.hf-overrides={fewer}")


def load(run: Run, figures: Figures, at_once: str = AT_ONCE) -> None:
    """A point at a time: one that fails costs no other."""
    for number in at_once.split(","):
        told = dsr1("bench", run.name, *LENGTHS, "--concurrency", number, "--json")
        result = data_of(told.stdout) if told.returncode == 0 else told.stderr.splitlines()[-1]
        figures.add("load", run=run.name, at_once=int(number), result=result)


def memory(whole: Trial, run: Run, changes: tuple[str, ...]) -> dict[str, object]:
    """What `check` says before, and what each rank's vLLM told."""
    checked = dsr1("check", *whole.words(*changes), "--only", "cfg.memory", "--all", "--json")
    logs = (file.read_text(errors="replace") for file in (run.folder / "hosts").rglob("*.log"))
    told = [found for log in logs for found in re.findall(r"(?:Available KV|Model loading).*", log)]
    return {"predicted": data_of(checked.stdout), "told": told}
