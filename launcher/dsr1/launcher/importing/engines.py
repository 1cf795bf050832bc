"""The workers that were read, each to an engine of the recipe: its role, its sizes, its keys."""

from collections.abc import Sequence
from typing import Any

from dsr1.launcher.commands.kv_transfer import transfer_config
from dsr1.launcher.importing.manifest.ledger import Ledger
from dsr1.launcher.importing.manifest.probes import note_shared_memory
from dsr1.launcher.importing.manifest.services import GraphService, count_of, gpus_per_node
from dsr1.launcher.importing.manifest.tree import YamlMapping, refuse
from dsr1.launcher.importing.parts import DeploymentParts
from dsr1.launcher.importing.vllm.draft import EngineDraft, WorkerDraft
from dsr1.launcher.importing.vllm.sizes import RequestedSizes, lay_out
from dsr1.launcher.recipe.engine import CONNECTORS, Engine

PREFILL, DECODE, BOTH = "prefill", "decode", "aggregated"


def assemble_engines(parts: DeploymentParts) -> dict[str, dict[str, Any]]:
    """By name. Raises InputError for sizes that can't be."""
    engines = {}
    for worker, role in zip(parts.workers, _roles(parts), strict=True):
        engines[worker.draft.name] = _engine(worker, role, parts.ledger)
    _note_router(parts, engines)
    return engines


def _roles(parts: DeploymentParts) -> list[str]:
    given = [(worker.draft.role, worker.service.role) for worker in parts.workers]
    prefills = [PREFILL if (flag or name) == PREFILL else "" for flag, name in given]
    roles = [role_of(flag, name, prefills) for flag, name in given]
    for worker, role in zip(parts.workers, roles, strict=True):
        _note_role(worker, role, parts.ledger)
    return roles


def _note_role(worker: WorkerDraft, role: str, ledger: Ledger) -> None:
    draft = worker.draft
    called = worker.service.role or draft.role
    if not called or role == called:
        return
    if role == draft.role:
        why = "its flags say so"
    else:
        missing = "decodes" if called == PREFILL else "prefills"
        why = f"no other service {missing}, so it serves whole requests"
    ledger.rewrite(
        f"{draft.name}: {role}, though it is called {called}: {why}", f"{draft.key}.role"
    )


def _engine(worker: WorkerDraft, role: str, ledger: Ledger) -> dict[str, Any]:
    draft = worker.draft
    values: dict[str, Any] = {"role": role} if role != BOTH else {}
    values |= _sizes(worker, ledger)
    values["expert_parallel"] = draft.values.pop("expert_parallel", False)
    values |= draft.values
    _settle_transfer(values, role, draft)
    values |= {"args": draft.args} if draft.args else {}
    values |= {"env": worker.variables.env} if worker.variables.env else {}
    note_shared_memory(worker.service, ledger)
    return {key: values[key] for key in Engine.model_fields if key in values}


def _settle_transfer(values: dict[str, Any], role: str, draft: EngineDraft) -> None:
    """A recipe's short word for how caches move, where the manifest's own configuration means the
    same."""
    key, config = f"{draft.key}.kv_transfer", values.pop("kv_transfer", None)
    if config is None:
        if role != BOTH:
            text = "KV caches move by NIXL, which Dynamo no longer chooses by default"
            draft.ledger.rewrite(f"{draft.name}: {text}", key)
            values["kv_transfer"] = "nixl"
        return
    values["kv_transfer"] = config
    if isinstance(config, dict):
        word = next((word for word in CONNECTORS if _means(word, role, config)), None)
        values["kv_transfer"] = word or config
        if role != BOTH and config.get("kv_role") == "kv_both" and word:
            text = "kv_role kv_both is retired; it follows from the engine's role"
            draft.ledger.rewrite(f"{draft.name}: {text}", key)


def _means(word: str, role: str, config: dict[str, Any]) -> bool:
    """kv_both, of old, and what follows from an engine's role today, are one for NIXL."""
    full = transfer_config(Engine.model_validate({"role": role, "kv_transfer": word})) or {}
    merged = {**full, **config}
    is_nixl = full.get("kv_connector") == "NixlConnector"
    if is_nixl and config.get("kv_role", "kv_both") == "kv_both":
        merged["kv_role"] = full["kv_role"]
    return full == merged


def _sizes(worker: WorkerDraft, ledger: Ledger) -> dict[str, Any]:
    service, draft = worker.service, worker.draft
    tensor = draft.values.pop("tensor_parallel_size", 1)
    layout = lay_out(
        RequestedSizes(
            service.fields.place,
            _nodes(service, ledger),
            gpus_per_node(service, ledger),
            tensor,
            draft.sizes.get("data-parallel-size", 1),
            draft.sizes.get("data-parallel-size-local"),
        )
    )
    if layout.note:
        ledger.rewrite(f"{draft.name}: {layout.note}", f"{draft.key}.nodes")
    sizes = {"nodes": layout.nodes, "ranks_per_node": layout.ranks}
    sizes |= {"tensor_parallel_size": tensor} if tensor > 1 else {}
    return sizes | replicas_of(service, draft.key, ledger)


def replicas_of(service: GraphService, key: str, ledger: Ledger) -> dict[str, int]:
    """The recipe's `replicas`, where there are several."""
    value = service.fields.get("replicas")
    if value is None:
        return {}
    ledger.use(f"{key}.replicas", value.place)
    count = count_of(value, "replicas")
    return {"replicas": count} if count > 1 else {}


def _nodes(service: GraphService, ledger: Ledger) -> int:
    multinode = service.fields.get("multinode")
    if not isinstance(multinode, YamlMapping):
        return 1
    value = multinode.get("nodeCount")
    if value is None:
        text = "multinode without nodeCount: two nodes, which is Dynamo's default"
        ledger.rewrite(text, "nodes", multinode.place)
        return 2
    nodes = count_of(value, "nodeCount")
    ledger.use("nodes", value.place)
    if nodes < 1:
        refuse(value.place, "nodeCount is 0; it must be at least 1")
    return nodes


def _note_router(parts: DeploymentParts, engines: dict[str, dict[str, Any]]) -> None:
    """A prompt goes where its beginning is cached: to prefill, where that is apart."""
    if parts.front.values.get("router_mode") != "kv":
        return
    for name, engine in engines.items():
        if engine.get("role") != DECODE and not engine.get("kv_events"):
            text = "router_mode kv only estimates what is cached, unless kv_events: true reports it"
            parts.ledger.ask(text, f"engines.{name}.kv_events")
            return


def role_of(by_flag: str, declared: str, prefills: Sequence[str]) -> str:
    """A worker's role, of what its flags and its type or name say; `prefills` has PREFILL for each
    that is to prefill.

    A flag is what runs, so it wins. In Dynamo a worker without one serves whole requests, whatever
    it is called; it decodes alone only where another worker prefills, and prefills alone only where
    another does not.
    """
    if by_flag in (PREFILL, BOTH):
        return by_flag
    if declared == PREFILL and not by_flag:
        return PREFILL if "" in prefills else BOTH
    return DECODE if PREFILL in prefills else BOTH
