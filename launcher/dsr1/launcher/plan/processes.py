"""The processes of a plan: etcd, the frontends and their gateway, and every engine's ranks.
Pure."""

from collections.abc import Iterator

from dsr1.hosts.protocol.process import Process, SecretVariable
from dsr1.launcher.commands.dynamo import secret_variables
from dsr1.launcher.commands.etcd import (
    ETCD,
    GATEWAY,
    etcd_command,
    gateway_command,
    starts_etcd,
)
from dsr1.launcher.commands.secrets import CA, CERT, KEY
from dsr1.launcher.commands.vllm import key_variables
from dsr1.launcher.layout.context import Argv, PlanContext
from dsr1.launcher.layout.ports import (
    kvbm_ports,
    publishes_kv_events,
    system_port,
    transfers_kv,
    uses_kvbm,
)
from dsr1.launcher.layout.slots import FrontendSlot, WorkerSlot, worker_slots
from dsr1.launcher.plan.environment import (
    frontend_variables,
    identity_variables,
    worker_variables,
)
from dsr1.launcher.recipe.parts import Runtime


def all_processes(context: PlanContext) -> Iterator[Process]:
    """In the order of their start: etcd, then the frontend, which is cheap, then all ranks, leaders
    first."""
    if starts_etcd(context.recipe, context.topology, context.facts):
        yield _etcd(context)
    yield from _frontends(context)
    if len(context.frontends) > 1:
        yield _gateway(context)
    for group in context.topology.groups:
        yield from (_worker(context, slot) for slot in worker_slots(group))


def _etcd(context: PlanContext) -> Process:
    files = _ETCD_SERVER if context.is_secured else ()
    ports = (context.ports.etcd, context.ports.etcd_peer)
    return Process(
        name=ETCD,
        group=ETCD,
        host=context.topology.hosts[0].name,
        argv=etcd_command(context),
        env=identity_variables(context),
        ports=ports,
        wave=0,
        listen_port=ports[0],
        secrets=tuple(SecretVariable(name, file, True) for name, file in files),
    )


_ETCD_SERVER = (
    ("ETCD_CERT_FILE", CERT),
    ("ETCD_KEY_FILE", KEY),
    ("ETCD_TRUSTED_CA_FILE", CA),
    ("ETCD_PEER_CERT_FILE", CERT),
    ("ETCD_PEER_KEY_FILE", KEY),
    ("ETCD_PEER_TRUSTED_CA_FILE", CA),
)


def _gateway(context: PlanContext) -> Process:
    return Process(
        name=GATEWAY,
        group=GATEWAY,
        host=context.topology.hosts[0].name,
        argv=gateway_command(context),
        env=identity_variables(context),
        ports=(context.recipe.frontend.port,),
        wave=1,
    )


def _frontends(context: PlanContext) -> Iterator[Process]:
    command = context.stack.frontend
    if command is None:
        return
    for slot in context.frontends.values():
        yield _frontend(context, slot, command(context, slot))


def _frontend(context: PlanContext, slot: FrontendSlot, command: Argv) -> Process:
    return Process(
        name=slot.name,
        group=slot.name,
        host=slot.host.name,
        argv=with_setup(context.recipe.runtime, command),
        env=frontend_variables(context, slot.host).all,
        ports=(slot.port,),
        wave=1,
        grace_s=context.recipe.timeouts.stop,
        secrets=secret_variables(context),
    )


def _worker(context: PlanContext, slot: WorkerSlot) -> Process:
    return Process(
        name=slot.name,
        group=slot.group.name,
        host=slot.node.host.name,
        argv=with_setup(context.recipe.runtime, context.stack.worker(context, slot)),
        env=worker_variables(context, slot).all,
        ranks=slot.ranks,
        ports=tuple(_worker_ports(context, slot)),
        phases=context.stack.phases,
        wave=1 if slot.leads else 2,
        grace_s=context.recipe.timeouts.stop,
        secrets=(*secret_variables(context), *key_variables(context, slot)),
    )


def with_setup(runtime: Runtime, argv: Argv) -> Argv:
    """The recipe's setup lines run in a bash that then becomes the command, which is never put into
    a string."""
    if not runtime.setup:
        return argv
    script = "\n".join(("set -e", *runtime.setup, 'exec "$@"'))
    return ("bash", "-c", script, "dsr1", *argv)


def _worker_ports(context: PlanContext, slot: WorkerSlot) -> Iterator[int]:
    yield from _server_ports(context, slot)
    yield from _rank_ports(context, slot)
    yield from context.picked_ports(slot)


def _server_ports(context: PlanContext, slot: WorkerSlot) -> Iterator[int]:
    ports = context.ports.engines[slot.group.name]
    if context.stack.has_system_port and not slot.is_follower:
        yield system_port(ports, slot.machine_index)
    if slot.leads and len(slot.group.nodes) > 1:
        yield ports.rpc
    if server := context.server_of(slot):
        yield server.port


def _rank_ports(context: PlanContext, slot: WorkerSlot) -> Iterator[int]:
    ports = context.ports.engines[slot.group.name]
    if publishes_kv_events(slot.group):
        yield from (ports.kv_events + rank for rank in slot.ranks)
    if transfers_kv(slot.group):
        yield from (ports.nixl + rank for rank in slot.ranks)
    if uses_kvbm(slot.group):
        yield from kvbm_ports(ports, slot.machine_index)
