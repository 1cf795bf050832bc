"""The stack mocker: Dynamo with its engine simulator in the place of vLLM. Pure.

One process a node, no GPU and no torch, registered in half a second.
"""

from dsr1.launcher.commands.dynamo import frontend_command, shared_variables
from dsr1.launcher.commands.phases import MOCKER_PHASES
from dsr1.launcher.layout.context import Argv, PlanContext, Stack
from dsr1.launcher.layout.ports import publishes_kv_events, transfers_kv
from dsr1.launcher.layout.slots import WorkerSlot
from dsr1.launcher.layout.topology import Group
from dsr1.launcher.recipe.engine import Engine
from dsr1.launcher.recipe.flags import render_flags

STAND_IN = "stand-in"  # a rehearsal's model.path
KV_BYTES = 61 * (512 + 64) * 2
"""Of R1, a token, as MLA keeps it; the simulator would count all 128 heads."""
SESSIONS = 4096
STAND_IN_FOLDER = "../../stand-in-2"
"""Where it is put, seen from an agent's folder. One path on all hosts: Dynamo refuses workers whose
paths differ."""


def _worker_command(context: PlanContext, slot: WorkerSlot) -> Argv:
    spec, model = slot.group.spec, context.recipe.model
    known = {
        "disaggregation-mode": None if spec.role == "aggregated" else spec.role,
        "data-parallel-size": slot.node.local_size if slot.rank is None else None,
        "max-model-len": spec.max_model_len,
        **_limits(spec),
        "kv-bytes-per-token": KV_BYTES if model.path == STAND_IN else None,
        **_ports(context, slot),
    }
    path = STAND_IN_FOLDER if model.path == STAND_IN else model.path
    return (
        *(context.recipe.runtime.interpreter, "-m", "dynamo.mocker"),
        *("--model-path", path, "--model-name", model.name),
        *render_flags(known),
        *render_flags(spec.args),
    )


def _limits(spec: Engine) -> dict[str, int | None]:
    """Simulated prefill and decode refuse above max-num-seqs what vLLM's would let wait ("mocker
    handoff session limit reached", then 503 for everybody). So that is wide, and a step is bounded
    by its tokens: of decode one for each sequence."""
    sequences, tokens = spec.max_num_seqs, spec.token_budget
    if spec.role == "aggregated":
        return {"max-num-seqs": sequences, "max-num-batched-tokens": tokens}
    if spec.role == "decode" and sequences is not None:
        tokens = min(sequences, tokens or sequences)
    return {
        "max-num-seqs": max(SESSIONS, sequences or 0),
        "max-num-batched-tokens": tokens,
    }


def _ports(context: PlanContext, slot: WorkerSlot) -> dict[str, object]:
    """The simulator counts its ranks from 0 in every process, so its ports begin with those of its
    first rank."""
    group, first = slot.group, slot.ranks[0]
    ports = context.ports.engines[group.name]
    events = str(ports.kv_events + first) if publishes_kv_events(group) else None
    bootstraps = transfers_kv(group) and group.spec.role == "prefill"
    return {
        "zmq-kv-events-ports": events,
        "bootstrap-ports": str(ports.nixl + first) if bootstraps else None,
    }


def _registrations(group: Group) -> int:
    """A simulated non-leader has no headless form: each process registers."""
    return group.size if group.layout == "per_gpu" else len(group.nodes)


def _listed_ranks(group: Group, ranks: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(len(ranks)))


MOCKER = Stack(
    worker=_worker_command,
    frontend=frontend_command,
    shared=shared_variables,
    registrations=_registrations,
    listed_ranks=_listed_ranks,
    phases=MOCKER_PHASES,
    packages=("ai-dynamo", "ai-dynamo-runtime"),
    has_system_port=True,
)
