"""The stacks: which processes serve an engine and its frontend with Dynamo, with vLLM alone, or
simulated. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dsr1.env.node import address_source
from dsr1.env.variables import from_mapping
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.process import PhaseRule, SecretVariable, Variable
from dsr1.launcher.commands.frontend import FrontendSlot, frontend_slots, router_arguments
from dsr1.launcher.commands.phases import DYNAMO_PHASES, MOCKER_PHASES, VLLM_PHASES
from dsr1.launcher.commands.secrets import CA, CERT, KEY, SERVER_NAME
from dsr1.launcher.commands.vllm import (
    distributed_timeouts,
    engine_arguments,
    model_arguments,
    parallel_arguments,
)
from dsr1.launcher.layout.context import Argv, PlanContext, WorkerSlot, is_secured, name_of
from dsr1.launcher.layout.ports import publishes_kv_events, transfers_kv
from dsr1.launcher.layout.topology import Group
from dsr1.launcher.recipe.flags import render_flags
from dsr1.launcher.recipe.models import Recipe

STAND_IN = "stand-in"  # a rehearsal's model.path
STAND_IN_FOLDER = "../../stand-in-1"
"""Where it is put, seen from an agent's folder. One path on all hosts: Dynamo refuses workers whose
paths differ."""


@dataclass(frozen=True, slots=True)
class Stack:
    """`worker` is the command of one process of an engine; `shared` the variables of all processes
    of a host.

    `packages` are distributions that the runtime's Python must have. `pins` are (distribution,
    dependency): the installed dependency must satisfy what the distribution's own metadata asks of
    it, extras included.
    """

    worker: Callable[[PlanContext, WorkerSlot], Argv]
    frontend: Callable[[PlanContext, FrontendSlot], Argv] | None
    shared: Callable[[PlanContext, Host], tuple[Variable, ...]]
    phases: tuple[PhaseRule, ...]
    packages: tuple[str, ...]
    has_system_port: bool
    pins: tuple[tuple[str, str], ...] = ()


def stack_of(recipe: Recipe) -> Stack:
    return STACKS[recipe.stack]


def namespace_of(run: str, run_id: str, attempt: int = 0) -> str:
    """Dynamo's namespace: the run's own, and every restart's.

    The name is for people; `run_id` alone tells `a-b` from `a_b`, and two users' runs of one name.
    """
    return f"{run.replace('-', '_')}_{run_id}" + (f"_{attempt}" if attempt else "")


def _dynamo_worker(site: PlanContext, place: WorkerSlot) -> Argv:
    group, node, rank = place
    role = () if group.spec.role == "aggregated" else ("--disaggregation-mode", group.spec.role)
    return (
        *(site.recipe.runtime.interpreter, "-m", "dynamo.vllm"),
        *model_arguments(site.recipe.model),
        *role,
        *parallel_arguments(group, node, rank, site.ports.engines[group.name]),
        *engine_arguments(group.spec, site.ports.engines[group.name]),
        *distributed_timeouts(group, site.recipe.timeouts.ready),
    )


def _dynamo_frontend(site: PlanContext, front: FrontendSlot) -> Argv:
    asked = site.recipe.frontend
    return (
        *(site.recipe.runtime.interpreter, "-m", "dynamo.frontend"),
        *(
            "--http-host",
            front.address,
            "--http-port",
            str(front.port),
            "--router-mode",
            asked.router_mode,
        ),
        *router_arguments(site),
        *render_flags(asked.args),
    )


def _mocker_worker(site: PlanContext, place: WorkerSlot) -> Argv:
    """Dynamo's engine simulator: one process a node, no GPU and no torch, registered in half a
    second."""
    group, node, rank = place
    spec, model = group.spec, site.recipe.model
    size = node.local_size if group.layout != "per_gpu" else None
    known = {
        "disaggregation-mode": None if spec.role == "aggregated" else spec.role,
        "data-parallel-size": size,
        "max-model-len": spec.max_model_len,
        "max-num-seqs": spec.max_num_seqs,
        "max-num-batched-tokens": spec.token_budget,
        **_mocker_ports(site, group, node.start_rank if rank is None else rank),
    }
    return (
        *(site.recipe.runtime.interpreter, "-m", "dynamo.mocker"),
        *(
            "--model-path",
            STAND_IN_FOLDER if model.path == STAND_IN else model.path,
            "--model-name",
            model.name,
        ),
        *render_flags(known),
        *render_flags(spec.args),
    )


def _mocker_ports(site: PlanContext, group: Group, first: int) -> dict[str, object]:
    """The simulator counts its ranks from 0 in every process, so its ports begin with those of its
    first rank."""
    ports = site.ports.engines[group.name]
    return {
        "zmq-kv-events-ports": str(ports.kv_events + first) if publishes_kv_events(group) else None,
        "bootstrap-ports": (
            str(ports.nixl + first)
            if transfers_kv(group) and group.spec.role == "prefill"
            else None
        ),
    }


def _vllm_worker(site: PlanContext, place: WorkerSlot) -> Argv:
    group, node, rank = place
    own = next((front for front in frontend_slots(site) if front.name == name_of(place)), None)
    listen = (
        ("--host", own.address, "--port", str(own.port), *render_flags(site.recipe.frontend.args))
        if own
        else ()
    )
    return (
        *(
            site.recipe.runtime.interpreter,
            "-m",
            "vllm.entrypoints.cli.main",
            "serve",
            site.recipe.model.path,
        ),
        *("--served-model-name", site.recipe.model.name),
        *listen,
        *parallel_arguments(group, node, rank, site.ports.engines[group.name]),
        *engine_arguments(group.spec, site.ports.engines[group.name]),
        *distributed_timeouts(group, site.recipe.timeouts.ready),
    )


def _dynamo_variables(site: PlanContext, host: Host) -> tuple[Variable, ...]:
    return (
        Variable(
            "DYN_NAMESPACE",
            namespace_of(site.run, site.run_id),
            "the run's own: stale registrations can't be met",
        ),
        Variable("DYN_REQUEST_PLANE", "tcp", "default"),
        Variable("DYN_EVENT_PLANE", "zmq", "default, set since it differs between Dynamo's parts"),
        *(Variable(name, host.address, address_source(host)) for name in _ADVERTISED),
        *_discovery(site),
        *from_mapping(
            {"DYN_TCP_TLS_SERVER_NAME": SERVER_NAME} if is_secured(site) else {},
            "name in the run's certificate",
        ),
    )


_ADVERTISED = (
    "DYN_TCP_RPC_HOST",
    "DYN_TCP_RESPONSE_STREAM_HOST",
    "DYN_EVENT_PLANE_HOST",
    "DYN_SYSTEM_HOST",
)


def _discovery(site: PlanContext) -> tuple[Variable, ...]:
    """File discovery watches with inotify, so it is right on one machine alone; several need
    etcd."""
    if site.topology.machines == 1:
        values = {"DYN_DISCOVERY_BACKEND": "file", "DYN_FILE_KV": f"{site.folder}/discovery"}
        return from_mapping(values, "one machine: no etcd needed")
    own = site.recipe.etcd.endpoints
    url = (
        ",".join(own)
        or f"{'https' if is_secured(site) else 'http'}://{site.topology.hosts[0].address}:{site.ports.etcd}"
    )
    values = {"DYN_DISCOVERY_BACKEND": "etcd", "ETCD_ENDPOINTS": url, "ETCD_LEASE_TTL": "6"}
    return from_mapping(
        values, "recipe etcd.endpoints" if own else f"etcd on {site.topology.hosts[0].name}"
    )


def secret_variables(site: PlanContext) -> tuple[SecretVariable, ...]:
    """Mutual TLS for etcd (PEM texts) and for the request plane and the response stream (paths)."""
    if not is_secured(site):
        return ()
    texts = () if site.recipe.etcd.endpoints else _ETCD_CLIENT
    return (
        *(SecretVariable(*pair) for pair in texts),
        *(SecretVariable(name, file, True) for name, file in _PLANE),
    )


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


def _no_variables(site: PlanContext, host: Host) -> tuple[Variable, ...]:
    return ()


STACKS: Mapping[str, Stack] = {
    "dynamo": Stack(
        worker=_dynamo_worker,
        frontend=_dynamo_frontend,
        shared=_dynamo_variables,
        phases=DYNAMO_PHASES,
        packages=("ai-dynamo", "ai-dynamo-runtime", "vllm"),
        pins=(("ai-dynamo", "vllm"),),
        has_system_port=True,
    ),
    "vllm": Stack(
        worker=_vllm_worker,
        frontend=None,
        shared=_no_variables,
        phases=VLLM_PHASES,
        packages=("vllm",),
        has_system_port=False,
    ),
    "mocker": Stack(
        worker=_mocker_worker,
        frontend=_dynamo_frontend,
        shared=_dynamo_variables,
        phases=MOCKER_PHASES,
        packages=("ai-dynamo", "ai-dynamo-runtime"),
        has_system_port=True,
    ),
}
