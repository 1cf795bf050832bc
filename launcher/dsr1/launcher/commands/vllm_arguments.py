"""vLLM's own arguments: the same for every rank of an engine, but for those that place a rank.
Pure.

vLLM hashes the configuration of all DP ranks and compares it at the handshake, so only the
placement may differ.
"""

from dsr1.hosts.protocol.http import FRONTEND_CERT
from dsr1.launcher.commands.kv_transfer import kv_arguments
from dsr1.launcher.commands.secrets import FRONTEND_KEY, SECRETS_FOLDER
from dsr1.launcher.layout.context import PlanContext
from dsr1.launcher.layout.pinned import EnginePorts
from dsr1.launcher.layout.slots import WorkerSlot
from dsr1.launcher.layout.topology import Group, Node
from dsr1.launcher.recipe.engine import Engine
from dsr1.launcher.recipe.flag_table import RECIPE_FLAGS, RecipeFlag
from dsr1.launcher.recipe.flags import render_flags
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.recipe.parts import Frontend, Model
from dsr1.launcher.recipe.transfer import HYBRID_OFF, hybrid_is_off
from dsr1.launcher.recipe.types import RecipePart


def model_arguments(model: Model) -> tuple[str, ...]:
    return ("--model", model.path, "--served-model-name", model.name)


def reasoning_arguments(flag: str, model: Model, engine: Engine) -> tuple[str, ...]:
    """So that answers come without the thoughts, which are a field of their own; `flag` is the
    stack's. What the recipe's args say goes before."""
    said = any(name.endswith("reasoning-parser") for name in engine.args)
    return () if said else render_flags({flag: model.reasoning_parser})


def tls_arguments(frontend: Frontend, cert: str, key: str) -> tuple[str, ...]:
    """By these two flags of the stack's."""
    if frontend.tls is None:
        return ()
    files = {cert: FRONTEND_CERT, key: FRONTEND_KEY}
    return render_flags({flag: f"{SECRETS_FOLDER}/{name}" for flag, name in files.items()})


def worker_arguments(context: PlanContext, slot: WorkerSlot) -> tuple[str, ...]:
    """All but the model's: its place in the engine, and what the recipe asks of that."""
    group = slot.group
    ports = context.ports.engines[group.name]
    return (
        *parallel_arguments(slot, ports),
        *engine_arguments(group.spec, ports),
        *_without_hybrid(group.spec, context.recipe),
        *distributed_timeouts(group, context.recipe.timeouts.ready),
    )


def _without_hybrid(engine: Engine, recipe: Recipe) -> tuple[str, ...]:
    """On both sides of a KV transfer alike, where one side's connector doesn't keep the hybrid
    KV-cache manager: Dynamo 1.6 turns it off there alone, and the handshake then fails."""
    apart = engine.role != "aggregated" and HYBRID_OFF not in engine.args
    off = apart and hybrid_is_off(recipe.engines.values())
    return (f"--{HYBRID_OFF}",) if off else ()


def engine_arguments(engine: Engine, ports: EnginePorts) -> tuple[str, ...]:
    """What the recipe asks of an engine, in today's spelling."""
    return (*_own_keys(engine), *kv_arguments(engine, ports), *render_flags(engine.args))


def _own_keys(engine: Engine) -> tuple[str, ...]:
    """The flags that are one key's alone, in the order of the table."""
    rows = (row for row in RECIPE_FLAGS if row.is_rendered)
    return render_flags({row.name: _flag_value(row, engine) for row in rows})


def _flag_value(row: RecipeFlag, engine: Engine) -> object:
    """None where the flag isn't written."""
    value: object = engine
    for name in (row.attribute or row.key).split("."):
        value = None if value is None else getattr(value, name)
    if value is None or value == row.unwritten:
        return None
    if row.kind == "present":
        return True
    return value.model_dump(exclude_none=True) if isinstance(value, RecipePart) else value


def shape_arguments(engine: Engine) -> tuple[str, ...]:
    """Those of an engine's arguments that may change which kernels are compiled: all but the ones
    known not to."""
    kept: list[str] = []
    counts = True
    for word in (*_own_keys(engine), *render_flags(engine.args)):
        if word.startswith("--"):
            counts = word not in NOT_SHAPES
        if counts:
            kept.append(word)
    return tuple(kept)


NOT_SHAPES = (
    "--gpu-memory-utilization",
    "--load-format",
    "--safetensors-load-strategy",
    "--model-loader-extra-config",
    "--hf-overrides",
)
"""How much is kept, loaded or sent, and the overrides of a prewarming, which has fewer layers of
the same shapes."""


def distributed_timeouts(group: Group, ready_s: float) -> tuple[str, ...]:
    """How long a rank waits for the others, which may still load: as long as the whole start may
    take.

    Never shorter than vLLM's own, and left to it in an engine of one rank, or where the recipe says
    it.
    """
    if group.size == 1:
        return ()
    longer = {name: round(ready_s) for name, least in DISTRIBUTED_S.items() if ready_s > least}
    return render_flags({name: s for name, s in longer.items() if name not in group.spec.args})


DISTRIBUTED_S = {"distributed-timeout-seconds": 600, "cpu-distributed-timeout-seconds": 1800}
"""Of NCCL and of gloo, by torch's defaults (vllm/config/parallel.py)."""


def parallel_arguments(slot: WorkerSlot, ports: EnginePorts) -> tuple[str, ...]:
    """Which part of the engine a process is."""
    group, node = slot.group, slot.node
    if group.size == 1:
        return ()
    size = ("--data-parallel-size", str(group.size))
    address = ("--data-parallel-address", group.leader.host.address)
    rendezvous = (*address, "--data-parallel-rpc-port", str(ports.rpc))
    if slot.rank is not None:
        return (*size, "--data-parallel-rank", str(slot.rank), *rendezvous)
    if len(group.nodes) == 1:
        return (*size, *_local(node), *rendezvous)
    return (*size, *_LAYOUTS[group.layout](node), *rendezvous)


def _per_node(node: Node) -> tuple[str, ...]:
    return ("--data-parallel-hybrid-lb", *_local(node), *_start(node))


def _headless(node: Node) -> tuple[str, ...]:
    """The non-leaders have no server; headless with hybrid load balancing is refused by vLLM."""
    return (*_local(node), *(("--headless", *_start(node)) if node.rank else ()))


def _local(node: Node) -> tuple[str, ...]:
    return ("--data-parallel-size-local", str(node.local_size))


def _start(node: Node) -> tuple[str, ...]:
    return ("--data-parallel-start-rank", str(node.start_rank))


_LAYOUTS = {"per_node": _per_node, "headless": _headless}
