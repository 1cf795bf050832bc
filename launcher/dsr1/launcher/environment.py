"""The variables of every process of a plan: defaults, what the stack and the host give, the recipe's. Pure."""

from dataclasses import replace

from dsr1.env.caches import HostCache, Shapes, cache_variables, make_cache
from dsr1.env.node import control_plane, queue_depth, visible_devices
from dsr1.env.variables import from_mapping, merge
from dsr1.hosts.host import Host
from dsr1.hosts.process import Variable
from dsr1.launcher.commands.site import Place, Site
from dsr1.launcher.commands.stacks import Stack
from dsr1.launcher.commands.vllm import shape_arguments
from dsr1.launcher.ports import kvbm_ports, ranks_before, transfers_kv, uses_kvbm
from dsr1.launcher.topology import Group, Node

COMMON = {
    "DYN_SDK_DISABLE_ANSI_LOGGING": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONUNBUFFERED": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_RANDOMIZE_DP_DUMMY_INPUTS": "1",
}


def shared_variables(site: Site, stack: Stack, host: Host) -> tuple[Variable, ...]:
    """Layers: defaults, what the stack and the host give, the recipe. The recipe wins."""
    return merge(
        from_mapping(COMMON, "default"),
        stack.shared(site, host),
        control_plane(host),
        from_mapping(site.recipe.runtime.env, "recipe runtime.env"),
    )


def worker_variables(site: Site, stack: Stack, place: Place, index: int) -> tuple[Variable, ...]:
    group, node, rank = place
    ports, own = site.ports.engines[group.name], site.recipe.runtime.env | group.spec.env
    tp = group.spec.tensor_parallel_size
    devices = node.devices if rank is None else node.devices[index * tp : (index + 1) * tp]
    computed = [
        *visible_devices(devices, node.host.gpus),
        *queue_depth(group.spec.all2all_backend, group.spec.token_budget),
        *(v for one in host_cache(site, group, node.host) for v in cache_variables(one.cache)),
        Variable("VLLM_ENGINE_READY_TIMEOUT_S", str(round(site.recipe.timeouts.ready)), "recipe timeouts.ready"),
    ]
    if stack.has_system_port and not is_headless_follower(group, node):
        computed.append(
            Variable(
                "DYN_SYSTEM_PORT",
                str(ports.system + ranks_before(group, node) + index),
                f"ports of engine {group.name}",
            )
        )
    if transfers_kv(group):
        computed.append(Variable("VLLM_NIXL_SIDE_CHANNEL_PORT", str(ports.nixl), "base: vLLM adds the global DP rank"))
    if uses_kvbm(group):
        chosen, source = kvbm_ports(ports, ranks_before(group, node) + index), f"ports of engine {group.name}"
        for name, port in zip(("PUB", "ACK"), chosen, strict=True):
            computed.append(Variable(f"DYN_KVBM_LEADER_ZMQ_{name}_PORT", str(port), source))
    return tuple(variable for variable in computed if variable.name not in own)


def host_cache(site: Site, group: Group, host: Host) -> tuple[HostCache, ...]:
    """Where the engine's compilers keep what they make on a host. None: nothing compiles, or too little is known."""
    if site.recipe.stack == "mocker":
        return ()
    shapes = Shapes(group.size * group.spec.tensor_parallel_size, shape_arguments(group.spec))
    cache = make_cache(shapes, site.facts.get(host.name, {}), site.recipe.runtime.cache_dir or "")
    if cache is None:
        return ()
    return (HostCache(host.name, group.name, replace(cache, key=group.spec.cache_key or cache.key)),)


def is_headless_follower(group: Group, node: Node) -> bool:
    return group.layout == "headless" and node.rank > 0
