"""The plan: every process of every host, exactly as it will run. Pure data, printable, equal to what runs."""

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dsr1.env.caches import HostCache
from dsr1.env.variables import from_mapping, merge
from dsr1.hosts.facts.fact import Facts
from dsr1.hosts.host import Host
from dsr1.hosts.process import HostPlan, Process, SecretVariable
from dsr1.launcher.commands.stacks import (
    Place,
    Site,
    Stack,
    is_secured,
    namespace_of,
    secret_variables,
    stack_of,
)
from dsr1.launcher.environment import host_cache, is_headless_follower, shared_variables, worker_variables
from dsr1.launcher.known import leave_out, left_out, runtime_answers
from dsr1.launcher.ports import make_ports, publishes_kv_events, ranks_before, transfers_kv
from dsr1.launcher.recipe import Recipe, Runtime
from dsr1.launcher.secret_names import CA, CERT, KEY
from dsr1.launcher.topology import Group, Node, make_topology

NO_FACTS: Mapping[str, Facts] = types.MappingProxyType({})
ETCD, FRONTEND = "etcd", "frontend"
ETCD_FILE = "../../etcd-3.5.1"  # where the transport puts it, seen from an agent's folder


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that the frontend sends requests to, for these global DP ranks; its counters are at `metrics_url`."""

    process: str
    ranks: tuple[int, ...]
    metrics_url: str


@dataclass(frozen=True, slots=True)
class Service:
    """What serving means: the frontend's address, the model's name, and how many endpoints it must list.

    `namespace` is the run's own in Dynamo's discovery.
    `registrations` is None where the server is vLLM's own, which lists none.
    """

    host: str
    port: int
    model: str
    registrations: int | None
    workers: tuple[Worker, ...] = ()
    namespace: str = ""

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
    """All of a run."""

    run: str
    recipe: str
    hosts: tuple[HostPlan, ...]
    service: Service
    ranks: tuple[RankPlace, ...]
    notes: tuple[str, ...] = ()
    caches: tuple[HostCache, ...] = ()

    @property
    def processes(self) -> tuple[Process, ...]:
        return tuple(process for host in self.hosts for process in host.processes)


def make_plan(
    recipe: Recipe, hosts: Sequence[Host], run: str, folder: str, facts: Mapping[str, Facts] = NO_FACTS
) -> Plan:
    """Plan a run whose files on each host lie in `folder`. Raises InputError for what can't be laid out.

    `facts` are by host; what those of a host would give is left out where there are none, and a note says so.
    """
    topology = make_topology(recipe, hosts)
    site = Site(run, folder, recipe, topology, make_ports(recipe, topology), facts)
    stack = stack_of(recipe)
    every = tuple(_all_processes(site, stack))
    processes = leave_out(every, runtime_answers(facts).values())
    return Plan(
        run=run,
        recipe=recipe.name,
        hosts=tuple(_host_plans(site, stack, processes)),
        service=replace(
            _service(site, stack), workers=tuple(_workers_of(site, processes)), namespace=namespace_of(run)
        ),
        ranks=tuple(RankPlace(p.group, rank, p.name, p.host) for p in processes for rank in p.ranks),
        notes=(*_notes(site), *left_out(every, processes)),
        caches=tuple(_caches(site)),
    )


def _service(site: Site, stack: Stack) -> Service:
    front, first = (
        site.recipe.frontend,
        site.topology.groups[0].leader.host if not stack.frontend else site.topology.hosts[0],
    )
    host = first.address if front.host in (None, "0.0.0.0", "::", "") else front.host
    count = sum(group.registrations for group in site.topology.groups) if stack.frontend else None
    if site.recipe.stack == "mocker":
        count = sum(_mocker_registrations(group) for group in site.topology.groups)
    return Service(host, front.port, site.recipe.model.name, count)


def _workers_of(site: Site, processes: tuple[Process, ...]) -> Iterator[Worker]:
    """Prefill workers answer no client, and the simulator and vLLM's own server can't be asked rank by rank."""
    if site.recipe.stack != "dynamo":
        return
    groups = {group.name: group for group in site.topology.groups if group.spec.role != "prefill"}
    addresses = {host.name: host.address for host in site.topology.hosts}
    for process in processes:
        port = next((v.value for v in process.env if v.name == "DYN_SYSTEM_PORT"), None)
        if process.group in groups and port:
            group = groups[process.group]
            ranks = tuple(range(group.size)) if group.layout == "headless" else process.ranks
            yield Worker(process.name, ranks, f"http://{addresses[process.host]}:{port}/metrics")


def _mocker_registrations(group: Group) -> int:
    """A simulated non-leader has no headless form: each process registers."""
    return group.size if group.layout == "per_gpu" else len(group.nodes)


def _caches(site: Site) -> Iterator[HostCache]:
    for group in site.topology.groups:
        for host in dict.fromkeys(node.host for node in group.nodes):
            yield from host_cache(site, group, host)


def _notes(site: Site) -> Iterator[str]:
    for group in site.topology.groups:
        if group.layout != group.spec.layout:
            yield f"engines.{group.name}: one rank a node, so {group.spec.layout} runs as {group.layout}"
    silent = [host.name for host in site.topology.hosts if host.name not in site.facts]
    if silent:
        yield f"{', '.join(silent)}: planned without facts; what follows from their adapters is left out"


def _host_plans(site: Site, stack: Stack, processes: tuple[Process, ...]) -> Iterator[HostPlan]:
    model = site.recipe.model
    needs = replace(stack.requirements, paths=(model.path,) if model.is_folder else ())
    for host in site.topology.hosts:
        own = tuple(process for process in processes if process.host == host.name)
        if own:
            yield HostPlan(site.run, host.name, host.address, own, needs)


def _all_processes(site: Site, stack: Stack) -> Iterator[Process]:
    """In the order of their start: etcd, then the frontend, which is cheap, then all ranks, leaders first."""
    if stack.frontend and site.topology.machines > 1 and not site.recipe.etcd.endpoints:
        yield _etcd(site)
    if stack.frontend:
        yield _frontend(site, stack)
    for group in site.topology.groups:
        for node in group.nodes:
            yield from _workers(site, stack, group, node)


def _etcd(site: Site) -> Process:
    """etcd on the first host, on its control address alone; its files are the agent's, whose folder it runs in."""
    host, ports = site.topology.hosts[0], site.ports
    scheme = "https" if is_secured(site) else "http"
    client, peer = f"{scheme}://{host.address}:{ports.etcd}", f"{scheme}://{host.address}:{ports.etcd_peer}"
    argv = (
        *(ETCD_FILE, "--name", "dsr1", "--data-dir", "etcd-data"),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"dsr1={peer}"),
        *(("--client-cert-auth", "--peer-client-cert-auth") if is_secured(site) else ()),
    )
    files = tuple(SecretVariable(name, file, True) for name, file in _ETCD_SERVER) if is_secured(site) else ()
    used = (ports.etcd, ports.etcd_peer)
    return Process(ETCD, ETCD, host.name, argv, ports=used, wave=0, listen_port=ports.etcd, secrets=files)


_ETCD_SERVER = (
    ("ETCD_CERT_FILE", CERT),
    ("ETCD_KEY_FILE", KEY),
    ("ETCD_TRUSTED_CA_FILE", CA),
    ("ETCD_PEER_CERT_FILE", CERT),
    ("ETCD_PEER_KEY_FILE", KEY),
    ("ETCD_PEER_TRUSTED_CA_FILE", CA),
)


def _frontend(site: Site, stack: Stack) -> Process:
    assert stack.frontend is not None
    host, recipe = site.topology.hosts[0], site.recipe
    return Process(
        name=FRONTEND,
        group=FRONTEND,
        host=host.name,
        argv=with_setup(recipe.runtime, stack.frontend(site)),
        env=merge(shared_variables(site, stack, host), from_mapping(recipe.frontend.env, "recipe frontend.env")),
        ports=(recipe.frontend.port,),
        wave=1,
        grace_s=recipe.timeouts.stop,
        secrets=secret_variables(site),
    )


def _workers(site: Site, stack: Stack, group: Group, node: Node) -> Iterator[Process]:
    if group.layout == "per_gpu":
        for index, rank in enumerate(node.ranks):
            yield _worker(site, stack, (group, node, rank), index)
    else:
        yield _worker(site, stack, (group, node, None), 0)


def _worker(site: Site, stack: Stack, place: Place, index: int) -> Process:
    group, node, rank = place
    runtime, leads = site.recipe.runtime, node.rank == 0 and index == 0
    return Process(
        name=f"{group.name}-{node.rank if rank is None else rank}",
        group=group.name,
        host=node.host.name,
        argv=with_setup(runtime, stack.worker(site, place)),
        env=merge(
            shared_variables(site, stack, node.host),
            worker_variables(site, stack, place, index),
            from_mapping(group.spec.env, f"recipe engines.{group.name}.env"),
        ),
        ranks=node.ranks if rank is None else (rank,),
        ports=_worker_ports(site, stack, place, index),
        phases=stack.phases,
        wave=1 if leads else 2,
        grace_s=site.recipe.timeouts.stop,
        secrets=secret_variables(site),
    )


def with_setup(runtime: Runtime, argv: tuple[str, ...]) -> tuple[str, ...]:
    """The recipe's setup lines run in a bash that then becomes the command, which is never put into a string."""
    if not runtime.setup:
        return argv
    script = "\n".join(("set -e", *runtime.setup, 'exec "$@"'))
    return ("bash", "-c", script, "dsr1", *argv)


def _worker_ports(site: Site, stack: Stack, place: Place, index: int) -> tuple[int, ...]:
    group, node, rank = place
    ports, ranks = site.ports.engines[group.name], node.ranks if rank is None else (rank,)
    bound: list[int] = []
    if stack.has_system_port and not is_headless_follower(group, node):
        bound.append(ports.system + ranks_before(group, node) + index)
    if node.rank == 0 and index == 0 and len(group.nodes) > 1 and site.recipe.stack != "mocker":
        bound.append(ports.rpc)
    if stack.frontend is None and node.rank == 0:
        bound.append(site.recipe.frontend.port)
    if publishes_kv_events(group):
        bound += [ports.kv_events + r for r in ranks]
    if transfers_kv(group):
        bound += [ports.nixl + r for r in ranks]
    return tuple(bound)
