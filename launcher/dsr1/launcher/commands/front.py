"""What stands before the engines: etcd, the frontends, and the gateway that gives several of them one address. Pure.

The gateway is etcd's own (`etcd gateway`, a round-robin TCP proxy): dsr1 carries that binary to the first host anyway,
so several frontends need nothing else installed, and streamed answers pass through it untouched.
"""

from dataclasses import dataclass

from dsr1.hosts.host import Host
from dsr1.launcher.commands.site import Command, Site, is_secured, listen_address
from dsr1.launcher.recipe import Recipe

ETCD, FRONTEND, GATEWAY = "etcd", "frontend", "gateway"
ETCD_FILE = "../../etcd-3.5.1"  # where the transport puts it, seen from an agent's folder


@dataclass(frozen=True, slots=True)
class Front:
    """One frontend: its process's name, and where it listens."""

    name: str
    host: Host
    address: str
    port: int


def runs_etcd(recipe: Recipe, hosts: int) -> bool:
    """Whether the first of so many hosts needs etcd's binary: for the run's own etcd, or for the gateway."""
    own = hosts > 1 and not recipe.etcd.endpoints and recipe.stack != "vllm"
    return own or recipe.frontend.replicas > 1


def fronts(site: Site) -> tuple[Front, ...]:
    """One listens where clients connect; several on their hosts' control addresses, behind the gateway."""
    count, port, hosts = site.recipe.frontend.replicas, site.recipe.frontend.port, site.topology.hosts
    if count == 1:
        return (Front(FRONTEND, hosts[0], listen_address(site), port),)
    places = [hosts[number % len(hosts)] for number in range(count)]
    first = site.ports.replicas
    return tuple(Front(f"{FRONTEND}-{n}", host, host.address, first + n) for n, host in enumerate(places))


def gateway_command(site: Site) -> Command:
    own = f"{listen_address(site)}:{site.recipe.frontend.port}"
    behind = ",".join(f"{front.address}:{front.port}" for front in fronts(site))
    return (ETCD_FILE, "gateway", "start", "--listen-addr", own, "--endpoints", behind, "--retry-delay", "1s")


def etcd_command(site: Site) -> Command:
    """On the first host's control address alone; its files are the agent's, whose folder it runs in."""
    host, ports = site.topology.hosts[0], site.ports
    scheme = "https" if is_secured(site) else "http"
    client, peer = f"{scheme}://{host.address}:{ports.etcd}", f"{scheme}://{host.address}:{ports.etcd_peer}"
    return (
        *(ETCD_FILE, "--name", "dsr1", "--data-dir", "etcd-data"),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"dsr1={peer}"),
        *(("--client-cert-auth", "--peer-client-cert-auth") if is_secured(site) else ()),
    )


def router_arguments(site: Site) -> Command:
    """A router that nobody tells what is cached must guess it; several routers tell each other what they sent."""
    front = site.recipe.frontend
    if front.router_mode != "kv":
        return ()
    told = any(group.spec.kv_events for group in site.topology.groups)
    return (
        *(() if told else ("--no-router-kv-events",)),
        *(("--router-replica-sync",) if front.replicas > 1 else ()),
    )
