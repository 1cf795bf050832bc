"""The measuring edge: launches a candidate, puts loads on it, and stops it with proof."""

import contextlib
import json
import math
import time
from collections.abc import Callable
from typing import Protocol

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import Dsr1Error, HostError, InputError, LaunchFailed, RunNotFound
from dsr1.hosts.inventory.access import Access
from dsr1.launcher.batch.allocated import find_lent_job
from dsr1.launcher.benchmark.measure import Criteria
from dsr1.launcher.benchmark.point import BenchPoint, Sla
from dsr1.launcher.benchmark.session import Bench, open_bench
from dsr1.launcher.benchmark.workload import closed_loop
from dsr1.launcher.operate.backends import backend_for
from dsr1.launcher.operate.removal import remove_run
from dsr1.launcher.operate.status import find_any, stop_any
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.run.backend import LaunchRequest
from dsr1.launcher.run.state import OnState
from dsr1.launcher.tuning.goal import Figures, TuneGoal
from dsr1.slurm.allocation import Allocation

FULL, CROWDED = 0.95, 0.1
"""A KV cache this full, and this share of the requests waiting, keep a deployment from more."""


@dataclass(frozen=True, slots=True)
class LaunchPlace:
    """Where deployments are launched: hosts over SSH, or the nodes of an allocation, or this
    machine. `speedup`: how much faster than real the engines are."""

    accesses: tuple[Access, ...] = ()
    allocation: Allocation | None = None
    no_check: bool = False
    skip: tuple[str, ...] = ()
    speedup: float = 1.0
    rounds: int = 4


@dataclass(frozen=True, slots=True)
class MeasuredLoad:
    """What a load came to, and the whole of it as JSON."""

    figures: Figures
    bench: str


class Measurer(Protocol):
    """What the loop needs of the world."""

    def start(self, run: str, recipe: Recipe) -> None:
        """Until it serves. Dsr1Error: it doesn't; `stop` ends what may be left."""

    def measure(self, concurrency: int, gpus: int) -> MeasuredLoad:
        """PointRefused, LaunchFailed: it came to nothing."""

    def stop(self) -> None:
        """With proof. LaunchFailed: something may be left."""

    def left_s(self) -> float:
        """How long the place is there for deployments; 0: no more; infinite: nobody says."""


class Launcher:
    """Deployments by the ordinary life of a run: checks, ready, smoke, stop with proof."""

    def __init__(self, place: LaunchPlace, goal: TuneGoal, show: Callable[[str], OnState]) -> None:
        self._place, self._goal, self._show = place, goal, show
        self._name, self._serves, self._warn_s = "", False, 0
        self._bench: Bench | None = None
        self._open = contextlib.ExitStack()

    def start(self, run: str, recipe: Recipe) -> None:
        place = self._place
        request = LaunchRequest(
            recipe,
            run,
            place.accesses,
            place.no_check,
            place.skip,
            allocation=place.allocation,
        )
        backend = backend_for(place.accesses, lent=place.allocation is not None)
        self._name, self._warn_s = run, recipe.slurm.warn
        serving = backend.launch(request, self._show(run))
        self._serves = True
        self._bench = self._open.enter_context(open_bench(serving))

    def measure(self, concurrency: int, gpus: int) -> MeasuredLoad:
        assert self._bench is not None, "measured before it was started"
        goal, place = self._goal, self._place
        load = closed_loop(goal.isl, goal.osl, concurrency, place.rounds)
        point = self._bench.measure(load, Criteria(_sla(goal, place.speedup)))
        figures = make_figures(point, gpus, place.speedup)
        return MeasuredLoad(figures, point.model_dump_json())

    def stop(self) -> None:
        """Forgotten once that is proven: what interrupts it finds the run again. One that failed to
        start keeps its folder, for `dsr1 why`."""
        self._bench = None
        self._open.close()
        if self._name:
            stop_by_name(self._name, remove=self._serves)
        self._name, self._serves = "", False

    def left_s(self) -> float:
        """A deployment stops some time before its job's end. Where Slurm doesn't answer, nobody
        knows."""
        if self._place.allocation is None:
            return math.inf
        try:
            info = find_lent_job(self._place.allocation)
        except HostError:
            return math.inf
        except InputError:
            return 0.0
        return max(0.0, info.left_s(time.time()) - self._warn_s)


def stop_by_name(name: str, remove: bool) -> None:
    """A run that tuning named: nobody else's has that name. LaunchFailed: it may still run."""
    try:
        run = find_any(name)
    except RunNotFound:
        return
    if left := stop_any(run):
        raise LaunchFailed(
            f"{run.name}: may still run: {'; '.join(left)}; --resume stops it, once that is reached"
        )
    if remove:
        with contextlib.suppress(InputError):
            remove_run(run)


def _sla(goal: TuneGoal, speedup: float) -> Sla | None:
    if goal.ttft_ms is None and goal.itl_ms is None:
        return None
    seconds = [None if one is None else one / 1000 / speedup for one in (goal.ttft_ms, goal.itl_ms)]
    return Sla(ttft_s=seconds[0], itl_s=seconds[1])


def make_figures(point: BenchPoint, gpus: int, speedup: float) -> Figures:
    """In real time. Of a simulated deployment the GPUs are those that it would have. Pure."""
    itl = point.itl_ms.p90 if point.itl_ms else 0.0
    user = point.output_tokens_s_user or 0.0
    good = point.goodput.requests_s if point.goodput else point.requests_s
    return Figures(
        concurrency=point.workload.concurrency or 0,
        ttft_ms=point.ttft_ms.p90 * speedup,
        itl_ms=itl * speedup,
        tokens_s_gpu=point.output_tokens_s / speedup / gpus,
        tokens_s_user=user / speedup,
        good_s_gpu=good / speedup / gpus,
        limit=limit_of(point),
        notes=tuple(point.notes),
    )


def limit_of(point: BenchPoint) -> str:
    """What keeps it from more: what the servers say, else which of the two times a request spends
    longer in. Pure."""
    server, at_once = point.server, point.workload.concurrency or 1
    if server and ((server.kv_usage or 0) >= FULL or server.preemptions):
        return "KV cache"
    if point.ttft_ms.p50 > point.e2e_ms.p50 / 2:
        return "prefill"
    if server and (server.waiting or 0) > CROWDED * at_once:
        return "queue"
    return "decode"


def describe_error(error: Dsr1Error) -> str:
    """On one line, not long."""
    return json.dumps(" ".join(str(error).split())[:400], ensure_ascii=False)[1:-1]
