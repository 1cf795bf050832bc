"""The stack vllm: vLLM alone, each engine with API servers of its own. Pure."""

from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.process import SecretVariable, Variable
from dsr1.launcher.commands.phases import VLLM_PHASES
from dsr1.launcher.commands.secrets import API_KEY
from dsr1.launcher.commands.vllm_arguments import (
    reasoning_arguments,
    tls_arguments,
    worker_arguments,
)
from dsr1.launcher.layout.context import Argv, PlanContext, Stack, all_behind_leader
from dsr1.launcher.layout.slots import WorkerSlot
from dsr1.launcher.recipe.flags import render_flags


def _worker_command(context: PlanContext, slot: WorkerSlot) -> Argv:
    model = context.recipe.model
    return (
        *(context.recipe.runtime.interpreter, "-m", "vllm.entrypoints.cli.main"),
        *("serve", model.path, "--served-model-name", model.name),
        *_server_arguments(context, slot),
        *worker_arguments(context, slot),
        *reasoning_arguments("reasoning-parser", model, slot.group.spec),
    )


def _server_arguments(context: PlanContext, slot: WorkerSlot) -> Argv:
    server = context.server_of(slot)
    if server is None:
        return ()
    spec = context.recipe.frontend
    return (
        *("--host", server.address, "--port", str(server.port)),
        *tls_arguments(spec, "ssl-certfile", "ssl-keyfile"),
        *render_flags(spec.args),
    )


def key_variables(context: PlanContext, slot: WorkerSlot) -> tuple[SecretVariable, ...]:
    """A flag would be in sight of every user of the host."""
    asked = context.recipe.frontend.api_key_file and context.server_of(slot)
    return (SecretVariable("VLLM_API_KEY", API_KEY),) if asked else ()


def _no_variables(context: PlanContext, host: Host) -> tuple[Variable, ...]:
    return ()


VLLM = Stack(
    worker=_worker_command,
    frontend=None,
    shared=_no_variables,
    registrations=None,
    listed_ranks=all_behind_leader,
    phases=VLLM_PHASES,
    packages=("vllm",),
    has_system_port=False,
)
