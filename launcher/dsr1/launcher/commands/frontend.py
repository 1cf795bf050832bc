"""What stands before the engines: etcd, the frontends, and the gateway that gives several of them
one address. Pure.

With stack vllm the frontends are the API servers of the engines themselves.

The gateway is etcd's own (`etcd gateway`, a round-robin TCP proxy): dsr1 carries that binary to the
first host anyway, so several frontends need nothing else installed, and streamed answers pass
through it untouched.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dsr1.hosts.inventory.host import Host
from dsr1.launcher.layout.context import (
    Argv,
    PlanContext,
    is_secured,
    listen_address,
    name_of,
    worker_slots,
)
from dsr1.launcher.layout.ports import count_fronts
from dsr1.launcher.layout.topology import make_topology
from dsr1.launcher.recipe.models import Recipe

EVERYWHERE = ("0.0.0.0", "::", "")
ETCD, FRONTEND, GATEWAY = "etcd", "frontend", "gateway"
ETCD_FILE = "../../etcd-3.5.1"  # where the transport puts it, seen from an agent's folder


@dataclass(frozen=True, slots=True)
class FrontendSlot:
    """One frontend: its process's name, and where it listens. `reached` is an address for
    clients."""

    name: str
    host: Host
    address: str
    port: int

    @property
    def reached(self) -> str:
        return self.host.address if self.address in EVERYWHERE else self.address

    @property
    def url(self) -> str:
        return f"http://{self.reached}:{self.port}"


def runs_etcd(recipe: Recipe, hosts: Sequence[Host]) -> bool:
    """Whether the first of these hosts needs etcd's binary: for the run's own etcd, or for the
    gateway."""
    topology = make_topology(recipe, hosts)
    own = topology.machines > 1 and not recipe.etcd.endpoints and recipe.stack != "vllm"
    return own or count_fronts(recipe, topology) > 1


def frontend_slots(site: PlanContext) -> tuple[FrontendSlot, ...]:
    """One listens where clients connect; several on their hosts' control addresses, behind the
    gateway."""
    named = _servers(site) if site.recipe.stack == "vllm" else _frontends(site)
    if len(named) == 1:
        ((name, host),) = named
        return (FrontendSlot(name, host, listen_address(site), site.recipe.frontend.port),)
    first = site.ports.replicas
    return tuple(
        FrontendSlot(name, host, host.address, first + n) for n, (name, host) in enumerate(named)
    )


def _frontends(site: PlanContext) -> list[tuple[str, Host]]:
    count, hosts = site.recipe.frontend.replicas, site.topology.hosts
    return [
        (FRONTEND if count == 1 else f"{FRONTEND}-{n}", hosts[n % len(hosts)]) for n in range(count)
    ]


def _servers(site: PlanContext) -> list[tuple[str, Host]]:
    """The processes of engines that have an API server: all, but for those of headless nodes."""
    places = [place for group in site.topology.groups for place in worker_slots(group)]
    serving = [
        (group, node, rank)
        for group, node, rank in places
        if group.layout != "headless" or node.rank == 0
    ]
    return [(name_of(place), place[1].host) for place in serving]


def gateway_command(site: PlanContext) -> Argv:
    own = f"{listen_address(site)}:{site.recipe.frontend.port}"
    behind = ",".join(f"{front.address}:{front.port}" for front in frontend_slots(site))
    return (
        ETCD_FILE,
        "gateway",
        "start",
        "--listen-addr",
        own,
        "--endpoints",
        behind,
        "--retry-delay",
        "1s",
    )


def etcd_command(site: PlanContext) -> Argv:
    """On the first host's control address alone; its files are the agent's, whose folder it runs
    in."""
    host, ports = site.topology.hosts[0], site.ports
    scheme = "https" if is_secured(site) else "http"
    client, peer = (
        f"{scheme}://{host.address}:{ports.etcd}",
        f"{scheme}://{host.address}:{ports.etcd_peer}",
    )
    return (
        *(ETCD_FILE, "--name", "dsr1", "--data-dir", "etcd-data"),
        *("--listen-client-urls", client, "--advertise-client-urls", client),
        *(
            "--listen-peer-urls",
            peer,
            "--initial-advertise-peer-urls",
            peer,
            "--initial-cluster",
            f"dsr1={peer}",
        ),
        *(
            "--heartbeat-interval",
            "50",
            "--election-timeout",
            "250",
        ),  # ms: alone it serves once its election is over
        *(("--client-cert-auth", "--peer-client-cert-auth") if is_secured(site) else ()),
    )


def router_arguments(site: PlanContext) -> Argv:
    """A router that nobody tells what is cached must guess it; several routers tell each other what
    they sent."""
    front = site.recipe.frontend
    if front.router_mode != "kv":
        return ()
    told = any(group.spec.kv_events for group in site.topology.groups)
    return (
        *(() if told else ("--no-router-kv-events",)),
        *(("--router-replica-sync",) if front.replicas > 1 else ()),
    )
