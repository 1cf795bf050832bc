"""The stack dynamo: vLLM's engines as Dynamo's workers, and Dynamo's frontends. Pure."""

from dsr1.env.node import address_source
from dsr1.env.variables import from_mapping
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.http import LOOPBACK
from dsr1.hosts.protocol.process import SecretVariable, Variable
from dsr1.launcher.commands.dynamo_versions import (
    SYSTEM_HOST,
    advertised_addresses,
    secures_its_planes,
)
from dsr1.launcher.commands.etcd import discovers_by_etcd
from dsr1.launcher.commands.phases import DYNAMO_PHASES
from dsr1.launcher.commands.secrets import CA, CERT, KEY, SERVER_NAME
from dsr1.launcher.commands.vllm_arguments import (
    model_arguments,
    reasoning_arguments,
    tls_arguments,
    worker_arguments,
)
from dsr1.launcher.layout.context import Argv, PlanContext, Stack, all_behind_leader
from dsr1.launcher.layout.slots import FrontendSlot, WorkerSlot
from dsr1.launcher.layout.topology import Group
from dsr1.launcher.recipe.flags import render_flags


def namespace_of(run: str, run_id: str, attempt: int = 0) -> str:
    """Dynamo's namespace: the run's own, and every restart's.

    The name is for people; `run_id` alone tells `a-b` from `a_b`, and two users' runs of one name.
    """
    return f"{run.replace('-', '_')}_{run_id}" + (f"_{attempt}" if attempt else "")


def _worker_command(context: PlanContext, slot: WorkerSlot) -> Argv:
    role = slot.group.spec.role
    return (
        *(context.recipe.runtime.interpreter, "-m", "dynamo.vllm"),
        *model_arguments(context.recipe.model),
        *(() if role == "aggregated" else ("--disaggregation-mode", role)),
        *worker_arguments(context, slot),
        *reasoning_arguments("dyn-reasoning-parser", context.recipe.model, slot.group.spec),
    )


def frontend_command(context: PlanContext, frontend: FrontendSlot) -> Argv:
    spec = context.recipe.frontend
    return (
        *(context.recipe.runtime.interpreter, "-m", "dynamo.frontend"),
        *("--http-host", frontend.address, "--http-port", str(frontend.port)),
        *("--router-mode", spec.router_mode),
        *tls_arguments(spec, "tls-cert-path", "tls-key-path"),
        *_router_arguments(context),
        *render_flags(spec.args),
    )


def _router_arguments(context: PlanContext) -> Argv:
    """A router without KV events must guess what is cached; several routers sync what they sent."""
    frontend = context.recipe.frontend
    if frontend.router_mode != "kv":
        return ()
    publishes = any(group.spec.kv_events for group in context.topology.groups)
    return (
        *(() if publishes else ("--no-router-kv-events",)),
        *(("--router-replica-sync",) if frontend.replicas > 1 else ()),
    )


def shared_variables(context: PlanContext, host: Host) -> tuple[Variable, ...]:
    return (
        Variable(
            "DYN_NAMESPACE",
            namespace_of(context.run, context.run_id),
            "the run's own: stale registrations can't be met",
        ),
        Variable("DYN_REQUEST_PLANE", "tcp", "default"),
        Variable("DYN_EVENT_PLANE", "zmq", "default, set since it differs between Dynamo's parts"),
        *from_mapping(advertised_addresses(context.facts, host), address_source(host)),
        *_SYSTEM,
        *_discovery(context),
        *from_mapping(
            {"DYN_TCP_TLS_SERVER_NAME": SERVER_NAME} if _planes_are_secured(context) else {},
            "name in the run's certificate",
        ),
    )


# Since 1.4 a frontend fetches a model's small files from there, unless it is told to read its own.
_SYSTEM = (
    Variable(SYSTEM_HOST, LOOPBACK, "its control routes ask nobody who he is"),
    Variable("DYN_SELF_HOST_METADATA", "0", "frontends read the model's files on their own hosts"),
)


def _discovery(context: PlanContext) -> tuple[Variable, ...]:
    """See discovers_by_etcd."""
    if not discovers_by_etcd(context.topology, context.facts):
        values = {"DYN_DISCOVERY_BACKEND": "file", "DYN_FILE_KV": f"{context.folder}/discovery"}
        return from_mapping(values, "one machine: no etcd needed")
    first, theirs = context.topology.hosts[0], context.recipe.etcd.endpoints
    scheme = "https" if context.is_secured else "http"
    url = ",".join(theirs) or f"{scheme}://{first.address}:{context.ports.etcd}"
    values = {"DYN_DISCOVERY_BACKEND": "etcd", "ETCD_ENDPOINTS": url, "ETCD_LEASE_TTL": "6"}
    return from_mapping(values, "recipe etcd.endpoints" if theirs else f"etcd on {first.name}")


def secret_variables(context: PlanContext) -> tuple[SecretVariable, ...]:
    """Mutual TLS for etcd (PEM texts) and for the request plane and the response stream (paths)."""
    if not context.is_secured:
        return ()
    texts = () if context.recipe.etcd.endpoints else _ETCD_CLIENT
    return (
        *(SecretVariable(*pair) for pair in texts),
        *(
            SecretVariable(name, file, True)
            for name, file in _PLANE
            if _planes_are_secured(context)
        ),
    )


def _planes_are_secured(context: PlanContext) -> bool:
    return context.is_secured and secures_its_planes(context.facts)


_ETCD_CLIENT = (
    ("ETCD_AUTH_CA", CA),
    ("ETCD_AUTH_CLIENT_CERT", CERT),
    ("ETCD_AUTH_CLIENT_KEY", KEY),
)
_PLANE = (
    ("DYN_TCP_TLS_CERT_PATH", CERT),
    ("DYN_TCP_TLS_KEY_PATH", KEY),
    ("DYN_TCP_TLS_CA_CERT_PATH", CA),
    ("DYN_TCP_TLS_CLIENT_CERT_PATH", CERT),
    ("DYN_TCP_TLS_CLIENT_KEY_PATH", KEY),
    ("DYN_TCP_TLS_CLIENT_CA_CERT_PATH", CA),
)


def _registrations(group: Group) -> int:
    """Measured with Dynamo 1.6.1."""
    return group.servers


DYNAMO = Stack(
    worker=_worker_command,
    frontend=frontend_command,
    shared=shared_variables,
    registrations=_registrations,
    listed_ranks=all_behind_leader,
    phases=DYNAMO_PHASES,
    packages=("ai-dynamo", "ai-dynamo-runtime", "vllm"),
    pins=(("ai-dynamo", "vllm"),),
    has_system_port=True,
)
