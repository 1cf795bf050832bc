"""The processes of a plan: etcd, the frontends and their gateway, and every engine's ranks.
Pure."""

from collections.abc import Iterator
from dataclasses import replace

from dsr1.env.variables import merge
from dsr1.hosts.protocol.process import Process, SecretVariable, Variable
from dsr1.launcher.commands.frontend import (
    ETCD,
    FRONTEND,
    GATEWAY,
    FrontendSlot,
    etcd_command,
    frontend_slots,
    gateway_command,
)
from dsr1.launcher.commands.secrets import CA, CERT, KEY
from dsr1.launcher.commands.stacks import Stack, secret_variables
from dsr1.launcher.layout.context import PlanContext, WorkerSlot, is_secured, name_of, worker_slots
from dsr1.launcher.layout.ports import (
    kvbm_ports,
    publishes_kv_events,
    ranks_before,
    transfers_kv,
    uses_kvbm,
)
from dsr1.launcher.layout.topology import Group
from dsr1.launcher.plan.environment import (
    frontend_variables,
    is_headless_follower,
    worker_variables,
)
from dsr1.launcher.recipe.models import Runtime

RUN_ID = "DSR1_RUN_ID"


def all_processes(site: PlanContext, stack: Stack) -> Iterator[Process]:
    """Each with the run's identity, by which it can be told from every other run's processes."""
    own = Variable(RUN_ID, site.run_id, "the run's identity")
    for process in _processes(site, stack):
        yield replace(process, env=merge(process.env, (own,)))


def _processes(site: PlanContext, stack: Stack) -> Iterator[Process]:
    """In the order of their start: etcd, then the frontend, which is cheap, then all ranks, leaders
    first."""
    if stack.frontend and site.topology.machines > 1 and not site.recipe.etcd.endpoints:
        yield _etcd(site)
    if stack.frontend:
        yield from (_frontend(site, stack, front) for front in frontend_slots(site))
    if len(frontend_slots(site)) > 1:
        yield _gateway(site)
    for group in site.topology.groups:
        yield from _workers(site, stack, group)


def _etcd(site: PlanContext) -> Process:
    files = (
        tuple(SecretVariable(name, file, True) for name, file in _ETCD_SERVER)
        if is_secured(site)
        else ()
    )
    ports, host = (site.ports.etcd, site.ports.etcd_peer), site.topology.hosts[0].name
    return Process(
        ETCD,
        ETCD,
        host,
        etcd_command(site),
        ports=ports,
        wave=0,
        listen_port=ports[0],
        secrets=files,
    )


def _gateway(site: PlanContext) -> Process:
    host, port = site.topology.hosts[0].name, site.recipe.frontend.port
    return Process(GATEWAY, FRONTEND, host, gateway_command(site), ports=(port,), wave=1)


_ETCD_SERVER = (
    ("ETCD_CERT_FILE", CERT),
    ("ETCD_KEY_FILE", KEY),
    ("ETCD_TRUSTED_CA_FILE", CA),
    ("ETCD_PEER_CERT_FILE", CERT),
    ("ETCD_PEER_KEY_FILE", KEY),
    ("ETCD_PEER_TRUSTED_CA_FILE", CA),
)


def _frontend(site: PlanContext, stack: Stack, front: FrontendSlot) -> Process:
    assert stack.frontend is not None
    recipe = site.recipe
    return Process(
        name=front.name,
        group=FRONTEND,
        host=front.host.name,
        argv=with_setup(recipe.runtime, stack.frontend(site, front)),
        env=frontend_variables(site, stack, front.host).all,
        ports=(front.port,),
        wave=1,
        grace_s=recipe.timeouts.stop,
        secrets=secret_variables(site),
    )


def _workers(site: PlanContext, stack: Stack, group: Group) -> Iterator[Process]:
    for place in worker_slots(group):
        _, node, rank = place
        yield _worker(site, stack, place, 0 if rank is None else rank - node.start_rank)


def _worker(site: PlanContext, stack: Stack, place: WorkerSlot, index: int) -> Process:
    group, node, rank = place
    runtime, leads = site.recipe.runtime, node.rank == 0 and index == 0
    return Process(
        name=name_of(place),
        group=group.name,
        host=node.host.name,
        argv=with_setup(runtime, stack.worker(site, place)),
        env=worker_variables(site, stack, place, index).all,
        ranks=node.ranks if rank is None else (rank,),
        ports=_worker_ports(site, stack, place, index),
        phases=stack.phases,
        wave=1 if leads else 2,
        grace_s=site.recipe.timeouts.stop,
        secrets=secret_variables(site),
    )


def with_setup(runtime: Runtime, argv: tuple[str, ...]) -> tuple[str, ...]:
    """The recipe's setup lines run in a bash that then becomes the command, which is never put into
    a string."""
    if not runtime.setup:
        return argv
    script = "\n".join(("set -e", *runtime.setup, 'exec "$@"'))
    return ("bash", "-c", script, "dsr1", *argv)


def _worker_ports(
    site: PlanContext, stack: Stack, place: WorkerSlot, index: int
) -> tuple[int, ...]:
    group, node, rank = place
    ports, ranks = site.ports.engines[group.name], node.ranks if rank is None else (rank,)
    bound: list[int] = []
    if stack.has_system_port and not is_headless_follower(group, node):
        bound.append(ports.system + ranks_before(group, node) + index)
    if node.rank == 0 and index == 0 and len(group.nodes) > 1:
        bound.append(ports.rpc)
    if stack.frontend is None:
        bound += [front.port for front in frontend_slots(site) if front.name == name_of(place)]
    if publishes_kv_events(group):
        bound += [ports.kv_events + r for r in ranks]
    if transfers_kv(group):
        bound += [ports.nixl + r for r in ranks]
    if uses_kvbm(group):
        bound += kvbm_ports(ports, ranks_before(group, node) + index)
    return tuple(bound)
