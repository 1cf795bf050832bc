"""What a plan asks of its hosts, for the checks; and what the hosts have to be asked for that.
Pure."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from dsr1.env.checks.adapters.counters import GROWTH
from dsr1.env.checks.requirements import EngineShape, HostRequirements, Requirements
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.facts.request import FactsRequest
from dsr1.launcher.commands.rehearsal import needs_stand_in
from dsr1.launcher.commands.stacks import stack_of
from dsr1.launcher.layout.adapters import wanted_adapters
from dsr1.launcher.layout.topology import Group, Topology
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.preflight.draft import Draft
from dsr1.launcher.recipe.engine import QUEUE_DEPTH
from dsr1.launcher.recipe.flag_table import CACHE_DTYPE, QUANTIZATION
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.recipe.transfer import connector_packages

GIB = 2**30
CACHES, TEMPORARY = "/var/tmp", "/tmp"
CACHE_BYTES, TEMPORARY_BYTES = 50 * GIB, 10 * GIB
SAMPLE_S = 1.0


def make_requirements(draft: Draft) -> Requirements:
    recipe, stack = draft.recipe, stack_of(draft.recipe)
    simulated = not recipe.uses_gpus
    gpus = Counter[str]() if simulated else count_gpus(draft.topology)
    return Requirements(
        gpus=max(gpus.values(), default=0),
        hosts=len({host.address for host in draft.whole}),
        engines=() if simulated else _engine_shapes(draft),
        drafts=recipe.draft_models,
        weights=recipe.reads_weights,
        ports_base=recipe.ports.base,
        etcd=_own_etcd(recipe, draft.hosts),
        packages=(*stack.packages, *_connector_packages(recipe)),
        pins=stack.pins,
        folders={} if simulated else written_folders(recipe),
        by_host=_host_requirements(draft, gpus),
    )


def _connector_packages(recipe: Recipe) -> tuple[str, ...]:
    return () if recipe.traits.simulated else connector_packages(recipe.engines.values())


def _engine_shapes(draft: Draft) -> tuple[EngineShape, ...]:
    return tuple(make_engine_shape(group, draft.plan) for group in draft.topology.groups)


def _host_requirements(draft: Draft, gpus: Mapping[str, int]) -> dict[str, HostRequirements]:
    hca = {host.name: wanted_adapters(draft.recipe, host) for host in draft.whole}
    engines = _engines_by_host(draft.topology)
    own = {}
    for host in draft.plan.hosts:
        name, ports = host.host, tuple(ports_of(draft.plan, host.address))
        own[name] = HostRequirements(gpus.get(name, 0), ports, hca[name], engines.get(name, ()))
    return own


def make_facts_request(draft: Draft, leader: str, extras: Collection[str] = ()) -> FactsRequest:
    """One for all hosts. It says who holds the plan's ports, too."""
    recipe, hosts = draft.recipe, draft.hosts
    ports = {port for process in draft.plan.processes for port in process.ports}
    return FactsRequest(
        model="" if needs_stand_in(recipe) else recipe.model.path,
        drafts=recipe.draft_models,
        leader=leader,
        peers=tuple(host.name for host in hosts) if leader and len(hosts) > 1 else (),
        ports=tuple(sorted(ports)),
        etcd=_own_etcd(recipe, hosts),
        folders=tuple(written_folders(recipe)),
        pins=tuple(name for name, _ in stack_of(recipe).pins),
        sample_s=SAMPLE_S if GROWTH in extras else 0.0,
    )


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


def _engines_by_host(topology: Topology) -> dict[str, tuple[str, ...]]:
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
        graphs=str((spec.compilation_config or {}).get("cudagraph_mode") or ""),
        hosts=len({node.host.address for node in group.nodes}),
        role=spec.role,
        queue_depth=_queue_depth(group.name, plan),
        expert_balancing=spec.eplb is not None,
        expert_parallel=spec.expert_parallel,
        predicts=spec.predicts,
        quantization=str(spec.args.get(QUANTIZATION) or ""),
        cache_dtype=str(spec.args.get(CACHE_DTYPE) or ""),
        overrides=tuple(spec.overrides.items()),
    )


def _queue_depth(group: str, plan: Plan) -> int | None:
    """What the engine's processes will really have."""
    values = (
        v.value for p in plan.processes if p.group == group for v in p.env if v.name == QUEUE_DEPTH
    )
    text = next(values, "")
    return int(text) if text.isdigit() else None
