"""What a plan asks of its hosts, for the checks; and what the hosts have to be asked for that.
Pure."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from dsr1.env.checks.adapters.counters import GROWTH
from dsr1.env.checks.requirements import EngineShape, HostRequirements, Requirements
from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.facts_request import FactsRequest
from dsr1.launcher.commands.rehearsal import needs_stand_in
from dsr1.launcher.commands.stacks import stack_of
from dsr1.launcher.layout.adapters import wanted_adapters
from dsr1.launcher.layout.topology import GPUS_PER_NODE, Group, Topology, make_topology
from dsr1.launcher.plan.plan import Plan, make_plan
from dsr1.launcher.recipe.models import Recipe

GIB = 2**30
CACHES, TEMPORARY = "/var/tmp", "/tmp"
CACHE_BYTES, TEMPORARY_BYTES = 50 * GIB, 10 * GIB
SAMPLE_S = 1.0
QUEUE_DEPTH = "NVSHMEM_QP_DEPTH"


def make_requirements(recipe: Recipe, hosts: Sequence[Host]) -> Requirements:
    """InputError for what can't be laid out on as many hosts as the recipe wants."""
    whole = fill_up(recipe, hosts)
    topology, plan = make_topology(recipe, whole), make_plan(recipe, whole, "check", "/nowhere")
    simulated, required = not recipe.uses_gpus, stack_of(recipe)
    gpus = Counter[str]() if simulated else count_gpus(topology)
    hca = {host.name: wanted_adapters(recipe, host) for host in whole}
    places = [(host.host, host.address) for host in plan.hosts]
    names = engines_of(topology)
    return Requirements(
        gpus=max(gpus.values(), default=0),
        hosts=len({host.address for host in whole}),
        engines=()
        if simulated
        else tuple(make_engine_shape(group, plan) for group in topology.groups),
        weights=recipe.reads_weights,
        etcd=_own_etcd(recipe, hosts),
        packages=required.packages,
        pins=required.pins,
        folders={} if simulated else written_folders(recipe),
        by_host={
            name: HostRequirements(
                gpus[name], tuple(ports_of(plan, address)), hca[name], names.get(name, ())
            )
            for name, address in places
        },
    )


def make_facts_request(
    recipe: Recipe, hosts: Sequence[Host], leader: str, extras: Collection[str] = ()
) -> FactsRequest:
    """One for all hosts. Of the plan's ports, it is told who holds them."""
    plan = make_plan(recipe, fill_up(recipe, hosts), "check", "/nowhere")
    ports = {port for process in plan.processes for port in process.ports}
    return FactsRequest(
        model="" if needs_stand_in(recipe) else recipe.model.path,
        leader=leader,
        peers=tuple(host.name for host in hosts) if leader and len(hosts) > 1 else (),
        ports=tuple(sorted(ports)),
        etcd=_own_etcd(recipe, hosts),
        folders=tuple(written_folders(recipe)),
        pins=tuple(name for name, _ in stack_of(recipe).pins),
        sample_s=SAMPLE_S if GROWTH in extras else 0.0,
    )


def fill_up(recipe: Recipe, hosts: Sequence[Host]) -> tuple[Host, ...]:
    """As many hosts as the recipe needs, each with the GPUs that it should have: a check of some
    must do for some."""
    whole = tuple(replace(host, gpus=max(host.gpus, GPUS_PER_NODE)) for host in hosts)
    most = sum(engine.least_nodes for engine in recipe.engines.values())
    while len(whole) < most and not _fits(recipe, whole):
        name = f"(host {len(whole) + 1})"
        whole = (*whole, Host(name, name))
    return whole


def _fits(recipe: Recipe, hosts: Sequence[Host]) -> bool:
    try:
        make_topology(recipe, hosts)
    except InputError:
        return False
    return True


def _own_etcd(recipe: Recipe, hosts: Sequence[Host]) -> tuple[str, ...]:
    """The user's own, where there is something to discover on other machines."""
    several = len({host.address for host in hosts}) > 1
    return tuple(recipe.etcd.endpoints) if several and recipe.traits.has_discovery else ()


def count_gpus(topology: Topology) -> Counter[str]:
    """By host, of all engines. Hosts of one address are one machine."""
    machines, found = Counter[str](), Counter[str]()
    for group in topology.groups:
        for node in group.nodes:
            machines[node.host.address] += len(node.devices)
    for host in topology.hosts:
        found[host.name] = machines[host.address]
    return found


def engines_of(topology: Topology) -> dict[str, tuple[str, ...]]:
    """By host, those that have a node there."""
    pairs = [(node.host.name, group.name) for group in topology.groups for node in group.nodes]
    return {host: tuple(group for name, group in pairs if name == host) for host, _ in pairs}


def ports_of(plan: Plan, address: str) -> list[int]:
    """Of all processes on that machine."""
    processes = [
        process for host in plan.hosts if host.address == address for process in host.processes
    ]
    return [port for process in processes for port in process.ports]


def written_folders(recipe: Recipe) -> dict[str, int]:
    """Where compiled kernels are kept, and the temporary folder; bytes wanted in each."""
    own = recipe.runtime
    return {own.cache_dir or CACHES: CACHE_BYTES, own.env.get("TMPDIR", TEMPORARY): TEMPORARY_BYTES}


def make_engine_shape(group: Group, plan: Plan) -> EngineShape:
    spec = group.spec
    return EngineShape(
        name=group.name,
        expert_ranks=group.size * spec.tensor_parallel_size,
        tensor_ranks=spec.tensor_parallel_size,
        redundant_experts=spec.eplb.num_redundant_experts if spec.eplb else 0,
        utilization=spec.gpu_memory_utilization,
        context=spec.max_model_len,
        backend=spec.all2all_backend or "",
        tokens=spec.token_budget,
        sequences=spec.max_num_seqs,
        eager=spec.enforce_eager,
        hosts=len({node.host.address for node in group.nodes}),
        role=spec.role,
        queue_depth=_queue_depth(group.name, plan),
        expert_balancing=spec.eplb is not None,
        expert_parallel=spec.expert_parallel,
        overrides=tuple(spec.overrides.items()),
    )


def _queue_depth(group: str, plan: Plan) -> int | None:
    """What the engine's processes will really have."""
    values = (
        v.value for p in plan.processes if p.group == group for v in p.env if v.name == QUEUE_DEPTH
    )
    text = next(values, "")
    return int(text) if text.isdigit() else None
