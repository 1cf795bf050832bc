"""The plan: every process of every host, exactly as it will run. Pure data, printable, equal to
what runs."""

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from dsr1.env.caches import HostCache
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.facts.fact import Facts
from dsr1.hosts.protocol.http import LOOPBACK
from dsr1.hosts.protocol.process import HostPlan, Process
from dsr1.launcher.commands.dynamo import namespace_of
from dsr1.launcher.commands.dynamo_versions import SYSTEM_HOST
from dsr1.launcher.commands.etcd import GATEWAY
from dsr1.launcher.commands.stacks import stack_of
from dsr1.launcher.layout.context import PlanContext
from dsr1.launcher.layout.pinned import Pins
from dsr1.launcher.layout.pins import pinned_ports, pinned_topology
from dsr1.launcher.layout.placement import make_topology
from dsr1.launcher.layout.ports import make_ports, uses_kvbm
from dsr1.launcher.layout.slots import FrontendSlot, frontend_slots, listen_address
from dsr1.launcher.layout.topology import Group, Topology
from dsr1.launcher.plan.environment import SYSTEM_PORT, host_cache, overruled_notes
from dsr1.launcher.plan.processes import all_processes
from dsr1.launcher.plan.runtime_knowledge import drop_unknown, picks_ports_once, runtime_answers
from dsr1.launcher.recipe.models import Recipe

if TYPE_CHECKING:
    from dsr1.env.hcas import HcaChoice

NO_FACTS: Mapping[str, Facts] = types.MappingProxyType({})
PREVIEW_RUN_ID = "0" * 32
"""The identity in a plan that nobody starts: the same every time."""


OPEN_FRONTEND = (
    "frontend: plain HTTP, so prompts and answers cross the network in clear, and nobody is asked"
    " for a key unless frontend.api_key_file is set; frontend.tls, or a proxy in front (`dsr1"
    " render --nginx`), closes it"
)
"""The default, which no plan over several hosts may have in silence."""


@dataclass(frozen=True, slots=True)
class RegisteredWorker:
    """A process that the frontend sends requests to, for these DP ranks; its counters are at
    `metrics_url`, which is for its own host alone where it has no `url`.

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

    `namespace` is the run's own in Dynamo's discovery. `frontend_urls` are the URLs of several
    frontends behind that address. `registrations` is None where servers are vLLM's own, which list
    none. `secured`: all of them speak HTTPS alone.
    """

    host: str
    port: int
    model: str
    registrations: int | None
    workers: tuple[RegisteredWorker, ...] = ()
    namespace: str = ""
    frontend_urls: tuple[str, ...] = ()
    secured: bool = False

    @property
    def url(self) -> str:
        return f"{'https' if self.secured else 'http'}://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class PlannedRank:
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
    ranks: tuple[PlannedRank, ...]
    notes: tuple[str, ...] = ()
    caches: tuple[HostCache, ...] = ()
    cache_sources: tuple[str, ...] = ()

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
    pins: Pins | None = None,
) -> Plan:
    """Plan a run whose files on each host lie in `folder`. Raises InputError for what can't be laid
    out. With `pins` its engines are where these say.

    `facts` are by host; what those of a host would give is left out where there are none, and a
    note says so.
    """
    context = _make_context(recipe, hosts, run, run_id, folder, facts, pins)
    processes, unknown = drop_unknown(
        tuple(all_processes(context)), runtime_answers(facts).values()
    )
    return Plan(
        run=run,
        run_id=run_id,
        recipe=recipe.name,
        hosts=tuple(_host_plans(context, processes)),
        service=_service(context, processes),
        ranks=tuple(
            PlannedRank(p.group, rank, p.name, p.host) for p in processes for rank in p.ranks
        ),
        notes=(*_notes(context), *_door_notes(context), *unknown),
        caches=tuple(_caches(context)),
        cache_sources=tuple(recipe.runtime.cache_sources),
    )


def _make_context(
    recipe: Recipe,
    hosts: Sequence[Host],
    run: str,
    run_id: str,
    folder: str,
    facts: Mapping[str, Facts],
    pins: Pins | None,
) -> PlanContext:
    topology = pinned_topology(recipe, hosts, pins) if pins else make_topology(recipe, hosts)
    ports = pinned_ports(recipe, pins) if pins else make_ports(recipe, topology)
    return PlanContext(
        run=run,
        run_id=run_id,
        folder=folder,
        recipe=recipe,
        stack=stack_of(recipe),
        topology=topology,
        ports=ports,
        frontends=frontend_slots(recipe, topology, ports.replicas),
        facts=facts,
        adapters=_choose_adapters(recipe, topology, facts),
        picks_once=picks_ports_once(runtime_answers(facts).values()),
    )


def _choose_adapters(
    recipe: Recipe, topology: Topology, facts: Mapping[str, Facts]
) -> dict[str, "HcaChoice"]:
    if not facts:
        return {}
    from dsr1.launcher.layout.adapters import choose_adapters

    return choose_adapters(recipe, topology, facts)


def _service(context: PlanContext, processes: tuple[Process, ...]) -> ServiceTarget:
    recipe, topology = context.recipe, context.topology
    address, port = listen_address(recipe, topology), recipe.frontend.port
    several = len(context.frontends) > 1
    return ServiceTarget(
        host=FrontendSlot(GATEWAY, topology.hosts[0], address, port).reached,
        port=port,
        model=recipe.model.name,
        registrations=_registrations(context),
        workers=tuple(_registered_workers(context, processes)),
        namespace=namespace_of(context.run, context.run_id),
        frontend_urls=tuple(one.url for one in context.frontends.values()) if several else (),
        secured=recipe.frontend.tls is not None,
    )


def _registrations(context: PlanContext) -> int | None:
    count = context.stack.registrations
    return sum(map(count, context.topology.groups)) if count else None


def _registered_workers(
    context: PlanContext, processes: tuple[Process, ...]
) -> Iterator[RegisteredWorker]:
    traits = context.recipe.traits
    groups = {group.name: group for group in context.topology.groups}
    for process in processes:
        group = groups.get(process.group)
        server = context.frontends.get(process.name) if traits.own_servers else None
        url = server.url if server else _system_url(process)
        if group and url:
            yield RegisteredWorker(
                process=process.name,
                ranks=context.stack.listed_ranks(group, process.ranks),
                metrics_url=f"{url}/metrics",
                role=group.spec.role,
                counts=not traits.simulated,
                url=url if server else "",
            )


def _system_url(process: Process) -> str:
    """Of a worker of Dynamo's, as its own host sees it; empty where it has none."""
    values = {variable.name: variable.value for variable in process.env}
    if SYSTEM_PORT not in values:
        return ""
    return f"http://{values.get(SYSTEM_HOST, LOOPBACK)}:{values[SYSTEM_PORT]}"


def _caches(context: PlanContext) -> Iterator[HostCache]:
    """Those that are carried between hosts."""
    if context.recipe.runtime.caches == "own":
        return
    for group in context.topology.groups:
        for host in dict.fromkeys(node.host for node in group.nodes):
            yield from host_cache(context, group, host)


def _notes(context: PlanContext) -> Iterator[str]:
    for group in context.topology.groups:
        yield from _engine_notes(group)
    if context.recipe.traits.simulated:
        yield f"stack {context.recipe.stack}: the engines are simulated, everything else is real"
    silent = [host.name for host in context.topology.hosts if host.name not in context.facts]
    if silent:
        yield (
            f"{', '.join(silent)}: planned without facts; what follows from their adapters is"
            " left out"
        )
    if not context.picks_once:
        yield (
            "VLLM_PORT: left out where a process has several ranks: before vLLM 0.31 each of them"
            " picks from it at once. They take ports of the kernel's, which another may take first"
        )
    if not context.facts:
        yield from overruled_notes(context)
        return
    from dsr1.launcher.plan.from_facts import notes_on_adapters, notes_on_loading

    yield from notes_on_adapters(context)
    yield from overruled_notes(context)
    yield from notes_on_loading(context)


def _door_notes(context: PlanContext) -> Iterator[str]:
    if context.topology.machines > 1 and not context.recipe.frontend.tls:
        yield OPEN_FRONTEND


def _engine_notes(group: Group) -> Iterator[str]:
    wanted = group.spec.layout
    if group.layout != wanted:
        yield f"engines.{group.engine}: one rank a node, so {wanted} runs as {group.layout}"
    if uses_kvbm(group) and group.size > 1:
        yield (
            f"engines.{group.engine}.kv_transfer: Dynamo's kvbm knows no data parallel ranks"
            " yet (1.6)"
        )


def _host_plans(context: PlanContext, processes: tuple[Process, ...]) -> Iterator[HostPlan]:
    own: dict[str, list[Process]] = {}
    for process in processes:
        own.setdefault(process.host, []).append(process)
    for host in context.topology.hosts:
        if host.name in own:
            yield HostPlan(
                context.run,
                host.name,
                host.address,
                tuple(own[host.name]),
                run_id=context.run_id,
            )
