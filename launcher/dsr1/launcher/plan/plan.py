"""The plan: every process of every host, exactly as it will run. Pure data, printable, equal to
what runs."""

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dsr1.env.caches import HostCache
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.fact import Facts
from dsr1.hosts.protocol.process import HostPlan, Process
from dsr1.launcher.commands.frontend import GATEWAY, FrontendSlot, frontend_slots
from dsr1.launcher.commands.stacks import Stack, namespace_of, stack_of
from dsr1.launcher.layout.adapters import adapter_notes, choose_adapters
from dsr1.launcher.layout.context import PlanContext, listen_address
from dsr1.launcher.layout.ports import make_ports, uses_kvbm
from dsr1.launcher.layout.topology import Group, make_topology
from dsr1.launcher.plan.environment import host_cache, overruled_notes
from dsr1.launcher.plan.model_loading import loading_notes
from dsr1.launcher.plan.processes import all_processes
from dsr1.launcher.plan.runtime_knowledge import drop_unknown, runtime_answers
from dsr1.launcher.recipe.models import Recipe

NO_FACTS: Mapping[str, Facts] = types.MappingProxyType({})
PREVIEW_RUN_ID = "0" * 32
"""The identity in a plan that nobody starts: the same every time."""


@dataclass(frozen=True, slots=True)
class RegisteredWorker:
    """A process that the frontend sends requests to, for these DP ranks; its counters are at
    `metrics_url`.

    Ranks are global; the simulator's begin at 0 in every process, and it doesn't `count` requests
    by rank. `url` is that of its own server, with stack vllm.
    """

    process: str
    ranks: tuple[int, ...]
    metrics_url: str
    role: str = "aggregated"
    counts: bool = True
    url: str = ""


@dataclass(frozen=True, slots=True)
class ServiceTarget:
    """What serving means: the frontend's address, the model's name, and how many endpoints it must
    list.

    `namespace` is the run's own in Dynamo's discovery. `fronts` are the URLs of several frontends
    behind that address. `registrations` is None where servers are vLLM's own, which list none.
    """

    host: str
    port: int
    model: str
    registrations: int | None
    workers: tuple[RegisteredWorker, ...] = ()
    namespace: str = ""
    fronts: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RankPlace:
    """One DP rank: its engine, its number, its process."""

    engine: str
    rank: int
    process: str
    host: str


@dataclass(frozen=True, slots=True)
class Plan:
    """All of a run. `run_id` is its identity: 128 random bits in hex, made when its name is
    claimed, and the same in every restart."""

    run: str
    run_id: str
    recipe: str
    hosts: tuple[HostPlan, ...]
    service: ServiceTarget
    ranks: tuple[RankPlace, ...]
    notes: tuple[str, ...] = ()
    caches: tuple[HostCache, ...] = ()

    @property
    def processes(self) -> tuple[Process, ...]:
        return tuple(process for host in self.hosts for process in host.processes)


def make_plan(
    recipe: Recipe,
    hosts: Sequence[Host],
    run: str,
    folder: str,
    facts: Mapping[str, Facts] = NO_FACTS,
    run_id: str = PREVIEW_RUN_ID,
) -> Plan:
    """Plan a run whose files on each host lie in `folder`. Raises InputError for what can't be laid
    out.

    `facts` are by host; what those of a host would give is left out where there are none, and a
    note says so.
    """
    topology = make_topology(recipe, hosts)
    adapters = choose_adapters(recipe, topology, facts)
    ports = make_ports(recipe, topology)
    site = PlanContext(run, run_id, folder, recipe, topology, ports, facts, adapters)
    stack = stack_of(recipe)
    processes, unknown = drop_unknown(
        tuple(all_processes(site, stack)), runtime_answers(facts).values()
    )
    return Plan(
        run=run,
        run_id=run_id,
        recipe=recipe.name,
        hosts=tuple(_host_plans(site, processes)),
        service=replace(
            _service(site, stack),
            workers=tuple(_workers_of(site, processes)),
            namespace=namespace_of(run, run_id),
        ),
        ranks=tuple(
            RankPlace(p.group, rank, p.name, p.host) for p in processes for rank in p.ranks
        ),
        notes=(*_notes(site, stack), *unknown),
        caches=tuple(_caches(site)),
    )


def _service(site: PlanContext, stack: Stack) -> ServiceTarget:
    several, port = frontend_slots(site), site.recipe.frontend.port
    host = FrontendSlot(GATEWAY, site.topology.hosts[0], listen_address(site), port).reached
    count = sum(group.registrations for group in site.topology.groups) if stack.frontend else None
    if site.recipe.stack == "mocker":
        count = sum(_mocker_registrations(group) for group in site.topology.groups)
    urls = tuple(one.url for one in several) if len(several) > 1 else ()
    return ServiceTarget(host, port, site.recipe.model.name, count, fronts=urls)


def _workers_of(site: PlanContext, processes: tuple[Process, ...]) -> Iterator[RegisteredWorker]:
    if site.recipe.stack == "vllm":
        yield from _servers_of(site, processes)
        return
    simulated = site.recipe.stack == "mocker"
    groups = {group.name: group for group in site.topology.groups}
    addresses = {host.name: host.address for host in site.topology.hosts}
    for process in processes:
        port = next((v.value for v in process.env if v.name == "DYN_SYSTEM_PORT"), None)
        if process.group in groups and port:
            group = groups[process.group]
            ranks = tuple(range(group.size)) if group.layout == "headless" else process.ranks
            ranks = tuple(range(len(process.ranks))) if simulated else ranks
            url = f"http://{addresses[process.host]}:{port}/metrics"
            yield RegisteredWorker(process.name, ranks, url, group.spec.role, not simulated)


def _servers_of(site: PlanContext, processes: tuple[Process, ...]) -> Iterator[RegisteredWorker]:
    """vLLM's own API servers, each for the ranks of its process; a headless leader's for those of
    its whole engine."""
    groups = {group.name: group for group in site.topology.groups}
    named = {process.name: process for process in processes}
    for front in frontend_slots(site):
        process = named[front.name]
        group = groups[process.group]
        ranks = tuple(range(group.size)) if group.layout == "headless" else process.ranks
        yield RegisteredWorker(process.name, ranks, f"{front.url}/metrics", url=front.url)


def _mocker_registrations(group: Group) -> int:
    """A simulated non-leader has no headless form: each process registers."""
    return group.size if group.layout == "per_gpu" else len(group.nodes)


def _caches(site: PlanContext) -> Iterator[HostCache]:
    for group in site.topology.groups:
        for host in dict.fromkeys(node.host for node in group.nodes):
            yield from host_cache(site, group, host)


def _notes(site: PlanContext, stack: Stack) -> Iterator[str]:
    for group in site.topology.groups:
        if group.layout != group.spec.layout:
            yield (
                f"engines.{group.engine}: one rank a node, so {group.spec.layout} runs as"
                f" {group.layout}"
            )
        if uses_kvbm(group) and group.size > 1:
            yield (
                f"engines.{group.engine}.kv_transfer: Dynamo's kvbm knows no data parallel ranks"
                " yet (1.6)"
            )
    if site.recipe.stack == "mocker":
        yield "stack mocker: the engines are simulated, everything else is real"
    silent = [host.name for host in site.topology.hosts if host.name not in site.facts]
    if silent:
        yield (
            f"{', '.join(silent)}: planned without facts; what follows from their adapters is"
            " left out"
        )
    yield from adapter_notes(site.adapters)
    yield from overruled_notes(site, stack)
    if site.recipe.stack != "mocker":
        yield from loading_notes(
            site.recipe.engines, site.facts, runtime_answers(site.facts).values()
        )


def _host_plans(site: PlanContext, processes: tuple[Process, ...]) -> Iterator[HostPlan]:
    own: dict[str, list[Process]] = {}
    for process in processes:
        own.setdefault(process.host, []).append(process)
    for host in site.topology.hosts:
        if host.name in own:
            yield HostPlan(
                site.run, host.name, host.address, tuple(own[host.name]), run_id=site.run_id
            )
