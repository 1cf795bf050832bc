"""What a plan has from the facts of its hosts: adapters, their variables, and notes. Pure.

Nothing of it is loaded for a plan without facts, which a person waits for at every change.
"""

from collections.abc import Iterator

from dsr1.env.ibgda import WITH_NVSHMEM, doorbell
from dsr1.env.rdma import RdmaUses, rdma_variables
from dsr1.hosts.protocol.process import Variable
from dsr1.launcher.layout.adapters import adapter_notes
from dsr1.launcher.layout.context import PlanContext
from dsr1.launcher.layout.ports import transfers_kv
from dsr1.launcher.layout.slots import WorkerSlot
from dsr1.launcher.layout.topology import Group
from dsr1.launcher.plan.model_loading import loading_notes
from dsr1.launcher.plan.runtime_knowledge import knows, runtime_answers


def adapter_variables(
    context: PlanContext, slot: WorkerSlot, devices: tuple[int, ...]
) -> tuple[Variable, ...]:
    """Of a worker on a host whose adapters are known."""
    group, host = slot.group, slot.node.host.name
    deepep = group.spec.all2all_backend in WITH_NVSHMEM
    uses = RdmaUses(
        deepep,
        _has_nixl(group),
        devices,
        one_worker=slot.rank is not None,
        maps=_maps_adapters(context),
        given=frozenset((*context.recipe.runtime.env, *group.spec.env)),
    )
    return (
        *rdma_variables(context.adapters[host], uses),
        *(doorbell(context.facts[host]) if deepep else ()),
    )


def _maps_adapters(context: PlanContext) -> bool:
    """Where a host's vLLM doesn't know the variable, the plan leaves it out."""
    answers = runtime_answers(context.facts).values()
    return all(knows(answer, "VLLM_NIC_SELECTION_VARS") for answer in answers)


def _has_nixl(group: Group) -> bool:
    """KV cache travels by it, and vLLM takes it to move experts where it is installed."""
    return (
        transfers_kv(group)
        or group.spec.all2all_backend == "nixl_ep"
        or group.spec.eplb is not None
    )


def notes_on_adapters(context: PlanContext) -> Iterator[str]:
    yield from adapter_notes(context.adapters)


def notes_on_loading(context: PlanContext) -> Iterator[str]:
    if not context.recipe.traits.simulated:
        answers = runtime_answers(context.facts).values()
        yield from loading_notes(context.recipe.engines, context.facts, answers)
