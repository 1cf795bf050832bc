"""A run that is measured: whether it can be, from which host, by which driver; then point after
point over the same connections."""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from dsr1.env.versions import installed_packages
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.hosts.inventory.parse import parse_hosts
from dsr1.hosts.protocol.facts.fact import Facts, value_of
from dsr1.hosts.protocol.http import FRONTEND_CERT
from dsr1.hosts.protocol.jobs.orders import DRIVER_FOLDER, VLLM_BENCH
from dsr1.hosts.transport.base import Transport
from dsr1.hosts.transport.connect import HERE, connect_hosts
from dsr1.launcher.benchmark.drivers import (
    AIPERF_VERSION,
    DRIVERS,
    Aiperf,
    BenchDriver,
    BenchTarget,
    VllmBench,
)
from dsr1.launcher.benchmark.measure import (
    Criteria,
    LoadSource,
    OnDriveProgress,
    ReadServers,
    measure,
    quiet,
    unread,
)
from dsr1.launcher.benchmark.point import BenchPoint
from dsr1.launcher.benchmark.servers import server_reader
from dsr1.launcher.benchmark.store import RESULTS
from dsr1.launcher.benchmark.tools import AIPERF_TOOL
from dsr1.launcher.benchmark.workload import Workload
from dsr1.launcher.commands.rehearsal import needs_stand_in
from dsr1.launcher.locks import locked
from dsr1.launcher.operate.backends import backend_name, backend_of
from dsr1.launcher.operate.scraping.pages import KeptLinks
from dsr1.launcher.operate.status import refuse_elsewhere, refuse_ended, refuse_unplanned
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.recipe.engine import Engine
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.run.assets import STAND_IN_FILES
from dsr1.launcher.run.store import Run
from dsr1.launcher.smoke.readiness import frontend_state

LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Bench:
    """Of one run, which serves."""

    source: LoadSource
    target: BenchTarget
    driver: BenchDriver
    read_servers: ReadServers

    def measure(
        self, workload: Workload, criteria: Criteria, show: OnDriveProgress = quiet
    ) -> BenchPoint:
        """See dsr1.launcher.benchmark.measure."""
        return measure(
            self.source, self.target, self.driver, workload, criteria, show, self.read_servers
        )


@contextlib.contextmanager
def open_bench(
    run: Run, driver: str = VLLM_BENCH, source: str = "", cpus: Sequence[int] = (), url: str = ""
) -> Iterator[Bench]:
    """`source`: `here`, a host of the run, or any other that SSH reaches; empty: here, or where
    the runtime is. `url`: of another server of the same model, whose own words nobody reads.
    InputError: an unknown driver, or one that isn't there; LaunchFailed: the run, or that server,
    doesn't serve its model."""
    if driver not in DRIVERS:
        raise InputError(f"--driver {driver}: unknown; there are {', '.join(DRIVERS)}")
    if url:
        refuse_other_model(run, url)
    else:
        refuse_unready(run)
    recipe, plan = run.recipe(), run.plan()
    target = make_target(run, recipe, plan)
    with contextlib.ExitStack() as stack:
        stack.enter_context(alone(run))
        place = stack.enter_context(_open_source(run, recipe, source, driver))
        agents = KeptLinks(stack.enter_context(_run_transport(run)))
        stack.callback(agents.close)
        yield Bench(
            LoadSource(*place, plan.run_id, tuple(cpus)),
            replace(target, url=url.rstrip("/")) if url else target,
            _make_driver(driver, run, recipe, is_here=place[1] == HERE),
            unread if url else server_reader(run, agents),
        )


@contextlib.contextmanager
def alone(run: Run) -> Iterator[None]:
    """InputError: another call measures it; both would measure each other."""
    folder = run.folder / RESULTS
    folder.mkdir(exist_ok=True, mode=0o700)
    try:
        with locked(folder / LOCK):
            yield
    except BlockingIOError:
        raise InputError(f"{run.name}: another `dsr1 bench` measures it now") from None


def refuse_unready(run: Run) -> None:
    """LaunchFailed: it doesn't serve, or something else does at its address."""
    state = refuse_ended(run)
    refuse_elsewhere(run)
    refuse_unplanned(run)
    if not state.serves:
        raise LaunchFailed(f"{run.name}: {state.phase}, not ready: `dsr1 wait {run.name}` waits")
    service = run.plan().service
    if lacks := frontend_state(service, run.settings().access):
        raise LaunchFailed(f"{run.name}: {service.url} can't be measured: {lacks}")


def refuse_other_model(run: Run, url: str) -> None:
    """InputError: it is no address; LaunchFailed: it doesn't serve the run's model."""
    refuse_unplanned(run)
    at = urlsplit(url)
    if at.scheme not in ("http", "https") or not at.hostname or at.path.strip("/") or at.query:
        raise InputError(f"--url {url}: an address is wanted, as in http://10.0.0.1:8000")
    service = replace(run.plan().service, registrations=None, frontend_urls=(url.rstrip("/"),))
    if lacks := frontend_state(service, run.settings().access):
        raise LaunchFailed(f"--url {url}: can't be measured: {lacks}")


def make_target(run: Run, recipe: Recipe, plan: Plan) -> BenchTarget:
    """The model's folder has its tokenizer; in a rehearsal dsr1 brings one."""
    files = {}
    if needs_stand_in(recipe):
        files = {file.name: file.read_text() for file in STAND_IN_FILES.iterdir()}
    access = run.settings().access
    return BenchTarget(
        plan.service.url,
        plan.service.model,
        DRIVER_FOLDER if files else recipe.model.path,
        total_gpus(recipe, plan),
        longest_request(recipe, run.facts()),
        access.certificate or run.secrets().get(FRONTEND_CERT, ""),
        access.api_key,
        files,
        {name: str(value) for name, value in recipe.runtime.env.items()},
    )


def longest_request(recipe: Recipe, facts: Mapping[str, Facts]) -> int | None:
    """Tokens of prompt and answer that every engine takes: as the recipe says, else the model.
    None: nobody says."""
    configs = [value_of(own, "model.config") for own in facts.values()]
    own = next((one for one in configs if isinstance(one, dict)), {})
    model = own.get("max_position_embeddings")
    lengths = [engine.max_model_len or model for engine in recipe.engines.values()]
    return min((one for one in lengths if isinstance(one, int)), default=None)


def total_gpus(recipe: Recipe, plan: Plan) -> int:
    """Of all engines; 0 where none is used."""
    if not recipe.uses_gpus:
        return 0
    return sum(_engine_of(recipe, one.engine).tensor_parallel_size for one in plan.ranks)


def _engine_of(recipe: Recipe, name: str) -> Engine:
    """`decode`, or a replica of it: `decode-r1`."""
    return recipe.engines.get(name) or recipe.engines[name.rpartition("-r")[0]]


@contextlib.contextmanager
def _run_transport(run: Run) -> Iterator[Transport]:
    with contextlib.closing(backend_of(run).transport(run)) as transport:
        yield transport


@contextlib.contextmanager
def _open_source(
    run: Run, recipe: Recipe, source: str, driver: str
) -> Iterator[tuple[Transport, str]]:
    hosts, place = [one.host for one in run.plan().hosts], backend_name(run)
    lacks = _lacks(recipe, driver)
    name = source or default_source(driver, place, lacks, hosts[0])
    if name in hosts and place != "local":
        with _run_transport(run) as transport:
            yield transport, name
        return
    if name in ("here", HERE, *hosts):
        if lacks:
            raise InputError(f"--from {name}: {lacks} isn't here; name a host of the run")
        with connect_hosts((), sys.executable) as (transport, (here,)):
            yield transport, here
        return
    with connect_hosts(parse_hosts(name), recipe.runtime.interpreter) as (transport, names):
        if len(names) != 1:
            raise InputError(f"--from {source}: names {len(names)} hosts; load comes from one")
        yield transport, names[0]


def default_source(driver: str, place: str, lacks: str, first: str) -> str:
    """A login node is no place for load."""
    if driver == Aiperf.name or place == "local":
        return HERE
    return first if lacks or place in ("slurm", "allocation") else HERE


def _lacks(recipe: Recipe, driver: str) -> str:
    """What a driver needs of this machine and doesn't find."""
    if driver == VllmBench.name and not os.access(recipe.runtime.interpreter, os.X_OK):
        return recipe.runtime.interpreter
    if needs_stand_in(recipe):
        return ""
    if recipe.model.is_folder and not (Path(recipe.model.path) / "tokenizer.json").exists():
        return f"{recipe.model.path}/tokenizer.json"
    return ""


def _make_driver(name: str, run: Run, recipe: Recipe, is_here: bool) -> BenchDriver:
    if name == Aiperf.name and not is_here:
        raise InputError("--driver aiperf: it is set up on this machine alone; use --from here")
    if name == Aiperf.name and not AIPERF_TOOL.is_ready:
        raise InputError(
            "--driver aiperf: it isn't set up here: `dsr1 bench --setup` makes"
            f" {AIPERF_TOOL.folder} ({AIPERF_TOOL.room})"
        )
    if name == Aiperf.name:
        return Aiperf(str(AIPERF_TOOL.command("aiperf")), AIPERF_VERSION)
    return VllmBench(recipe.runtime.interpreter, _vllm_version(run))


def _vllm_version(run: Run) -> str:
    """As the launch has seen it on the first host that told; empty: none did."""
    told = (installed_packages(facts).get("vllm") for facts in run.facts().values())
    return next(filter(None, told), "")
