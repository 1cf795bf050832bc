"""The variables of every process of a plan: defaults, what the stack and the host give, the
recipe's. Pure."""

from collections.abc import Iterator, Mapping

from dsr1.env.caches import HostCache, Shapes, cache_variables, make_cache
from dsr1.env.node import control_plane, queue_depth, visible_devices
from dsr1.env.variables import from_mapping, merge
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.process import Variable
from dsr1.launcher.commands.vllm_arguments import shape_arguments
from dsr1.launcher.layout.context import PlanContext
from dsr1.launcher.layout.ports import kvbm_ports, system_port, transfers_kv, uses_kvbm
from dsr1.launcher.layout.slots import WorkerSlot, worker_slots
from dsr1.launcher.layout.topology import Group
from dsr1.launcher.recipe.parts import Health

COMMON = {
    "DYN_SDK_DISABLE_ANSI_LOGGING": "1",
    "PYTHONFAULTHANDLER": "1",  # a crash in native code shows Python's stacks in the log
    "PYTHONHASHSEED": "0",
    "PYTHONUNBUFFERED": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_RANDOMIZE_DP_DUMMY_INPUTS": "1",
}
RIVALS = {
    "UCX_NET_DEVICES": ("VLLM_GPU_NIC_PCIE_MAPPING",),
    "NVSHMEM_HCA_LIST": (
        "VLLM_GPU_NIC_PCIE_MAPPING",
        "NVSHMEM_HCA_PE_MAPPING",
        "DEEP_EP_DEVICE_TO_HCA_MAPPING",
    ),
}
"""Two variables for one setting: where the recipe sets the other, ours would interfere."""
SYSTEM_PORT, RUN_ID = "DYN_SYSTEM_PORT", "DSR1_RUN_ID"


@dataclass(frozen=True, slots=True)
class EnvLayers:
    """What dsr1 works out, what the recipe says, which wins, and what stays whatever that says."""

    computed: tuple[Variable, ...]
    recipe: tuple[Variable, ...]
    fixed: tuple[Variable, ...]

    @property
    def all(self) -> tuple[Variable, ...]:
        chosen = {variable.name for variable in self.recipe}
        kept = (one for one in self.computed if chosen.isdisjoint(RIVALS.get(one.name, ())))
        return merge(kept, self.recipe, self.fixed)

    @property
    def overruled(self) -> Iterator[tuple[Variable, Variable]]:
        """What was worked out, and the recipe's other value for it."""
        chosen = {variable.name: variable for variable in self.recipe}
        for variable in self.computed:
            other = chosen.get(variable.name, variable)
            if other.value != variable.value:
                yield variable, other


def identity_variables(context: PlanContext) -> tuple[Variable, ...]:
    """By which a process can be told from those of every other run."""
    return (Variable(RUN_ID, context.run_id, "the run's identity"),)


def frontend_variables(context: PlanContext, host: Host) -> EnvLayers:
    frontend, runtime = context.recipe.frontend.env, context.recipe.runtime.env
    own = _of_recipe(runtime, frontend, "frontend.env")
    return EnvLayers(_shared(context, host), own, identity_variables(context))


def worker_variables(context: PlanContext, slot: WorkerSlot) -> EnvLayers:
    group, node, recipe = slot.group, slot.node, context.recipe
    ready = str(round(recipe.timeouts.ready))
    devices = _devices(slot)
    computed = (
        *visible_devices(devices, node.host.gpus),
        *queue_depth(group.spec.all2all_backend, group.spec.token_budget),
        *_cache_variables(context, slot, len(devices)),
        Variable("VLLM_ENGINE_READY_TIMEOUT_S", ready, "recipe timeouts.ready"),
        *_port_variables(context, slot),
        *_adapter_variables(context, slot, devices),
    )
    own = _of_recipe(recipe.runtime.env, group.spec.env, f"engines.{group.engine}.env")
    shared = _shared(context, node.host)
    return EnvLayers(merge(shared, computed), own, identity_variables(context))


def _cache_variables(context: PlanContext, slot: WorkerSlot, gpus: int) -> Iterator[Variable]:
    for one in host_cache(context, slot.group, slot.node.host):
        yield from cache_variables(one.cache, gpus)


def _devices(slot: WorkerSlot) -> tuple[int, ...]:
    if slot.rank is None:
        return slot.node.devices
    size = slot.group.spec.tensor_parallel_size
    return slot.node.devices[slot.index * size : (slot.index + 1) * size]


def overruled_notes(context: PlanContext) -> Iterator[str]:
    """The recipe's value wins; where the hosts would have another, one note names all of them."""
    hosts: dict[str, list[str]] = {}
    for slot in _slots_with_env(context):
        for computed, chosen in worker_variables(context, slot).overruled:
            line = (
                f"{chosen.name}={chosen.value} ({chosen.source}) goes before {computed.value}"
                f" ({computed.source})"
            )
            hosts.setdefault(line, []).append(slot.node.host.name)
    yield from (f"{', '.join(dict.fromkeys(names))}: {line}" for line, names in hosts.items())


def _slots_with_env(context: PlanContext) -> Iterator[WorkerSlot]:
    """The first of every node whose variables the recipe changes."""
    for group in context.topology.groups:
        if context.recipe.runtime.env or group.spec.env:
            yield from (slot for slot in worker_slots(group) if slot.index == 0)


def _shared(context: PlanContext, host: Host) -> tuple[Variable, ...]:
    shared = context.stack.shared(context, host)
    return merge(from_mapping(COMMON, "default"), shared, control_plane(host))


def _of_recipe(
    runtime: Mapping[str, str], own: Mapping[str, str], key: str
) -> tuple[Variable, ...]:
    return merge(from_mapping(runtime, "recipe runtime.env"), from_mapping(own, f"recipe {key}"))


def _port_variables(context: PlanContext, slot: WorkerSlot) -> Iterator[Variable]:
    group = slot.group
    ports, source = context.ports.engines[group.name], f"ports of engine {group.name}"
    if context.stack.has_system_port and not slot.is_follower:
        yield Variable(SYSTEM_PORT, str(system_port(ports, slot.machine_index)), source)
        yield from _canary(context.recipe.health)
    if transfers_kv(group):
        why = "base: vLLM adds the global DP rank"
        yield Variable("VLLM_NIXL_SIDE_CHANNEL_PORT", str(ports.nixl), why)
    picked = context.picked_ports(slot)
    if picked and not context.recipe.traits.simulated:
        yield Variable("VLLM_PORT", str(picked.start), f"{source}, to {picked.stop - 1}")
    if uses_kvbm(group):
        publish, acknowledge = kvbm_ports(ports, slot.machine_index)
        yield Variable("DYN_KVBM_LEADER_ZMQ_PUB_PORT", str(publish), source)
        yield Variable("DYN_KVBM_LEADER_ZMQ_ACK_PORT", str(acknowledge), source)


def _canary(health: Health) -> Iterator[Variable]:
    """Dynamo's own question to a worker that nobody else has asked for a while: without it its
    /health says that it is well for ever. Its default of 3 s fails workers that are only busy."""
    seconds = str(max(1, round(health.interval_s)))
    yield Variable("DYN_HEALTH_CHECK_ENABLED", "true", "recipe health")
    yield Variable("DYN_CANARY_WAIT_TIME", seconds, "recipe health")
    yield Variable("DYN_HEALTH_CHECK_REQUEST_TIMEOUT", seconds, "recipe health")


def _adapter_variables(
    context: PlanContext, slot: WorkerSlot, devices: tuple[int, ...]
) -> tuple[Variable, ...]:
    if slot.node.host.name not in context.adapters:
        return ()
    from dsr1.launcher.plan.from_facts import adapter_variables

    return adapter_variables(context, slot, devices)


def host_cache(context: PlanContext, group: Group, host: Host) -> tuple[HostCache, ...]:
    """Where the engine's compilers keep what they make on a host. None: nothing compiles, or too
    little is known."""
    recipe = context.recipe
    if recipe.traits.simulated:
        return ()
    shapes = Shapes(group.size * group.spec.tensor_parallel_size, shape_arguments(group.spec))
    cache = make_cache(shapes, context.facts.get(host.name, {}), recipe.runtime.cache_dir or "")
    return (HostCache(host.name, group.engine, shapes.ranks, cache),) if cache else ()
