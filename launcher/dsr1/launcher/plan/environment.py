"""The variables of every process of a plan: defaults, what the stack and the host give, the
recipe's. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dsr1.env.caches import HostCache, Shapes, cache_variables, make_cache
from dsr1.env.ibgda import WITH_NVSHMEM, doorbell
from dsr1.env.node import control_plane, queue_depth, visible_devices
from dsr1.env.rdma import RdmaUses, rdma_variables
from dsr1.env.variables import from_mapping, merge
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.process import Variable
from dsr1.launcher.commands.stacks import Stack
from dsr1.launcher.commands.vllm import shape_arguments
from dsr1.launcher.layout.context import PlanContext, WorkerSlot
from dsr1.launcher.layout.ports import kvbm_ports, ranks_before, transfers_kv, uses_kvbm
from dsr1.launcher.layout.topology import Group, Node

COMMON = {
    "DYN_SDK_DISABLE_ANSI_LOGGING": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONUNBUFFERED": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_RANDOMIZE_DP_DUMMY_INPUTS": "1",
}
RIVALS = {
    "VLLM_GPU_NIC_PCIE_MAPPING": ("UCX_NET_DEVICES",),
    "VLLM_NIC_SELECTION_VARS": ("UCX_NET_DEVICES",),
    "UCX_NET_DEVICES": ("VLLM_GPU_NIC_PCIE_MAPPING",),
    "NVSHMEM_HCA_LIST": ("NVSHMEM_HCA_PE_MAPPING",),
}
"""Two ways to say one thing: where the recipe takes the other, ours would meddle with it."""


@dataclass(frozen=True, slots=True)
class EnvLayers:
    """What dsr1 works out, and what the recipe says, which wins."""

    computed: tuple[Variable, ...]
    recipe: tuple[Variable, ...]

    @property
    def all(self) -> tuple[Variable, ...]:
        said = {variable.name for variable in self.recipe}
        fit = (
            variable for variable in self.computed if said.isdisjoint(RIVALS.get(variable.name, ()))
        )
        return merge(fit, self.recipe)

    @property
    def overruled(self) -> Iterator[tuple[Variable, Variable]]:
        """What was worked out, and the recipe's other value for it."""
        own = {variable.name: variable for variable in self.recipe}
        pairs = (
            (variable, own[variable.name]) for variable in self.computed if variable.name in own
        )
        yield from ((variable, other) for variable, other in pairs if variable.value != other.value)


def frontend_variables(site: PlanContext, stack: Stack, host: Host) -> EnvLayers:
    front, runtime = site.recipe.frontend.env, site.recipe.runtime.env
    return EnvLayers(_shared(site, stack, host), _of_recipe(runtime, front, "frontend.env"))


def worker_variables(site: PlanContext, stack: Stack, place: WorkerSlot, index: int) -> EnvLayers:
    group, node, rank = place
    tp = group.spec.tensor_parallel_size
    devices = node.devices if rank is None else node.devices[index * tp : (index + 1) * tp]
    computed = (
        *visible_devices(devices, node.host.gpus),
        *queue_depth(group.spec.all2all_backend, group.spec.token_budget),
        *(v for one in host_cache(site, group, node.host) for v in cache_variables(one.cache)),
        Variable(
            "VLLM_ENGINE_READY_TIMEOUT_S",
            str(round(site.recipe.timeouts.ready)),
            "recipe timeouts.ready",
        ),
        *_port_variables(site, stack, place, index),
        *_adapter_variables(site, place, devices),
    )
    own = _of_recipe(site.recipe.runtime.env, group.spec.env, f"engines.{group.engine}.env")
    return EnvLayers(merge(_shared(site, stack, node.host), computed), own)


def overruled_notes(site: PlanContext, stack: Stack) -> Iterator[str]:
    """The recipe's word wins; where the hosts say something else, that is told once for all of
    them."""
    hosts: dict[str, list[str]] = {}
    for group in site.topology.groups:
        for node in group.nodes if site.recipe.runtime.env or group.spec.env else ():
            rank = node.start_rank if group.layout == "per_gpu" else None
            for seen, said in worker_variables(site, stack, (group, node, rank), 0).overruled:
                line = (
                    f"{said.name}={said.value} ({said.source}) goes before {seen.value}"
                    f" ({seen.source})"
                )
                hosts.setdefault(line, []).append(node.host.name)
    yield from (f"{', '.join(dict.fromkeys(names))}: {line}" for line, names in hosts.items())


def _shared(site: PlanContext, stack: Stack, host: Host) -> tuple[Variable, ...]:
    return merge(from_mapping(COMMON, "default"), stack.shared(site, host), control_plane(host))


def _of_recipe(
    runtime: Mapping[str, str], own: Mapping[str, str], key: str
) -> tuple[Variable, ...]:
    return merge(from_mapping(runtime, "recipe runtime.env"), from_mapping(own, f"recipe {key}"))


def _port_variables(
    site: PlanContext, stack: Stack, place: WorkerSlot, index: int
) -> Iterator[Variable]:
    group, node, _ = place
    ports = site.ports.engines[group.name]
    if stack.has_system_port and not is_headless_follower(group, node):
        port = ports.system + ranks_before(group, node) + index
        yield Variable("DYN_SYSTEM_PORT", str(port), f"ports of engine {group.name}")
    if transfers_kv(group):
        yield Variable(
            "VLLM_NIXL_SIDE_CHANNEL_PORT", str(ports.nixl), "base: vLLM adds the global DP rank"
        )
    if uses_kvbm(group):
        chosen = zip(
            ("PUB", "ACK"), kvbm_ports(ports, ranks_before(group, node) + index), strict=True
        )
        source = f"ports of engine {group.name}"
        yield from (
            Variable(f"DYN_KVBM_LEADER_ZMQ_{name}_PORT", str(port), source) for name, port in chosen
        )


def _adapter_variables(
    site: PlanContext, place: WorkerSlot, devices: tuple[int, ...]
) -> tuple[Variable, ...]:
    group, node, rank = place
    choice = site.adapters.get(node.host.name)
    if choice is None:
        return ()
    deepep = group.spec.all2all_backend in WITH_NVSHMEM
    uses = RdmaUses(deepep, _has_nixl(group), devices, one_worker=rank is not None)
    return (
        *rdma_variables(choice, uses),
        *(doorbell(site.facts[node.host.name]) if deepep else ()),
    )


def _has_nixl(group: Group) -> bool:
    """KV cache travels by it, and vLLM takes it to move experts where it is installed."""
    return (
        transfers_kv(group)
        or group.spec.all2all_backend == "nixl_ep"
        or group.spec.eplb is not None
    )


def host_cache(site: PlanContext, group: Group, host: Host) -> tuple[HostCache, ...]:
    """Where the engine's compilers keep what they make on a host. None: nothing compiles, or too
    little is known."""
    if site.recipe.stack == "mocker":
        return ()
    shapes = Shapes(group.size * group.spec.tensor_parallel_size, shape_arguments(group.spec))
    cache = make_cache(shapes, site.facts.get(host.name, {}), site.recipe.runtime.cache_dir or "")
    return (HostCache(host.name, group.engine, shapes.ranks, cache),) if cache else ()


def is_headless_follower(group: Group, node: Node) -> bool:
    return group.layout == "headless" and node.rank > 0
