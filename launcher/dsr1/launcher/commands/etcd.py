"""etcd: the run's own, and the gateway that gives several frontends one address. Pure.

The gateway is etcd's own (`etcd gateway`, a round-robin TCP proxy): dsr1 carries that binary to the
first host anyway, so several frontends need nothing else installed, and streamed answers pass
through it untouched.
"""

from collections.abc import Mapping, Sequence

from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.facts.fact import Facts
from dsr1.launcher.commands.dynamo_versions import loses_file_registrations
from dsr1.launcher.layout.context import Argv, PlanContext
from dsr1.launcher.layout.placement import make_topology
from dsr1.launcher.layout.ports import count_frontends
from dsr1.launcher.layout.slots import listen_address
from dsr1.launcher.layout.topology import Topology
from dsr1.launcher.recipe.models import Recipe

ETCD, GATEWAY = "etcd", "gateway"
ETCD_FILE = "../../etcd-3.5.1"  # where the transport puts it, seen from an agent's folder


def needs_etcd_binary(recipe: Recipe, hosts: Sequence[Host], facts: Mapping[str, Facts]) -> bool:
    """Whether the first of these hosts needs it: for the run's own etcd, or for the gateway. Where
    engines are on them doesn't matter, unless they serve by themselves."""
    if recipe.traits.own_servers:
        return count_frontends(recipe, make_topology(recipe, hosts)) > 1
    topology = Topology(tuple(hosts), (), len({host.address for host in hosts}))
    return starts_etcd(recipe, topology, facts) or recipe.frontend.replicas > 1


def starts_etcd(recipe: Recipe, topology: Topology, facts: Mapping[str, Facts]) -> bool:
    """Whether the run has an etcd of its own, on the first host."""
    wanted = discovers_by_etcd(topology, facts) and recipe.traits.has_discovery
    return wanted and not recipe.etcd.endpoints


def discovers_by_etcd(topology: Topology, facts: Mapping[str, Facts]) -> bool:
    """File discovery watches with inotify, so it is right on one machine alone, and there not with
    every Dynamo."""
    return topology.machines > 1 or loses_file_registrations(facts)


def gateway_command(context: PlanContext) -> Argv:
    recipe = context.recipe
    own = f"{listen_address(recipe, context.topology)}:{recipe.frontend.port}"
    behind = ",".join(f"{one.address}:{one.port}" for one in context.frontends.values())
    options = ("--listen-addr", own, "--endpoints", behind, "--retry-delay", "1s")
    return (ETCD_FILE, "gateway", "start", *options)


def etcd_command(context: PlanContext) -> Argv:
    """On the first host's control address alone; its files are the agent's, whose folder it runs
    in."""
    scheme = "https" if context.is_secured else "http"
    base = f"{scheme}://{context.topology.hosts[0].address}"
    client, peer = f"{base}:{context.ports.etcd}", f"{base}:{context.ports.etcd_peer}"
    return (
        *(ETCD_FILE, "--name", "dsr1", "--data-dir", "etcd-data"),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
        *("--initial-cluster", f"dsr1={peer}"),
        *_ELECTION,
        *(("--client-cert-auth", "--peer-client-cert-auth") if context.is_secured else ()),
    )


_ELECTION = ("--heartbeat-interval", "50", "--election-timeout", "250")
"""In ms: alone it serves once its election is over."""
