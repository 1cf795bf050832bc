"""The parts that were read to one recipe: roles, sizes, the model and the timeouts that its
services share."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dsr1.hosts.errors import InputError
from dsr1.launcher.commands.kv_transfer import transfer_config
from dsr1.launcher.importing.manifest.command import short
from dsr1.launcher.importing.manifest.ledger import Ledger
from dsr1.launcher.importing.manifest.names import recipe_name
from dsr1.launcher.importing.manifest.probes import (
    grace_seconds,
    note_shared_memory,
    startup_seconds,
)
from dsr1.launcher.importing.manifest.roles import BOTH, DECODE, PREFILL, role_of
from dsr1.launcher.importing.manifest.services import Service, count_of, gpus_of
from dsr1.launcher.importing.manifest.tree import Fields, Scalar, Value
from dsr1.launcher.importing.manifest.variables import READY
from dsr1.launcher.importing.manifest.volumes import Mount, mount_of, mounts_of
from dsr1.launcher.importing.shell.secrecy import is_secret
from dsr1.launcher.importing.vllm.arguments import Flag, Known, known_flags
from dsr1.launcher.importing.vllm.draft import Draft, Worker
from dsr1.launcher.importing.vllm.engine_flags import argument_value
from dsr1.launcher.importing.vllm.frontend import FrontendDraft
from dsr1.launcher.importing.vllm.sizes import Asked, lay_out
from dsr1.launcher.recipe.engine import CONNECTORS, Engine

_DEFAULT_MODEL = "Qwen/Qwen3-0.6B"
_SHORTEST_START = 600


@dataclass(frozen=True, slots=True)
class Parts:
    """What was read of a deployment. `env` are the variables of all its services."""

    source: str
    ledger: Ledger
    env: dict[str, str]
    front: FrontendDraft
    front_services: list[Service] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)

    def unknown(self) -> Iterator[tuple[Flag, Known]]:
        yield from ((flag, known_flags("frontend")) for flag in self.front.unknown)
        yield from (
            (flag, known_flags("worker")) for worker in self.workers for flag in worker.unknown
        )

    def keep_unknown(self) -> None:
        for args, flags, key in (
            (self.front.args, self.front.unknown, "frontend"),
            *((worker.draft.args, worker.unknown, worker.draft.key) for worker in self.workers),
        ):
            for flag in flags:
                if is_secret(flag.name, flag.text):
                    text = f"--{flag.name}: a secret, which is not copied into a recipe"
                    self.ledger.ask(text, f"{key}.args", *flag.places)
                    continue
                args[flag.name] = argument_value(flag)
                text = (
                    f"--{flag.name}: passed on as it stands, but neither vLLM 0.31 nor Dynamo 1.6.1"
                    " knows it"
                )
                self.ledger.ask(text, f"{key}.args.{flag.name}", *flag.places)


def assemble(parts: Parts, deployment: Fields) -> dict[str, Any]:
    """The recipe as plain data, in the order in which people read one. Raises InputError for what
    can't be."""
    engines = {worker.draft.name: _engine(worker, role, parts) for worker, role in _roles(parts)}
    recipe = {
        "name": _name(deployment, parts.ledger),
        "model": _model(parts),
        "runtime": {"env": parts.env} if parts.env else None,
        "stack": "dynamo",
        "frontend": _frontend(parts),
        "engines": engines,
        "timeouts": _timeouts(parts),
    }
    _note_mounts(parts)
    _note_router(parts, engines)
    return {key: value for key, value in recipe.items() if value}


def _name(deployment: Fields, ledger: Ledger) -> str:
    ledger.use("stack", deployment.values["kind"].place)
    written = deployment.get("metadata", "name")
    name = recipe_name(written.text if isinstance(written, Scalar) else "")
    if isinstance(written, Scalar):
        ledger.use("name", written.place)
        if name != written.text:
            wanted = "a recipe's is 32 characters of lower case, digits and dashes"
            ledger.rewrite(f"name {short(written.text)}: {wanted}", "name", written.place)
    return name


def _roles(parts: Parts) -> list[tuple[Worker, str]]:
    said = [(worker.draft.role, worker.service.role) for worker in parts.workers]
    firsts = [PREFILL if (flag or name) == PREFILL else "" for flag, name in said]
    roles = [role_of(flag, name, firsts) for flag, name in said]
    for worker, role in zip(parts.workers, roles, strict=True):
        seen = worker.service.role or worker.draft.role
        if seen and role != seen:
            why = (
                "its flags say so"
                if role == worker.draft.role
                else (
                    f"no other service {'decodes' if seen == PREFILL else 'prefills'}: it serves"
                    " whole requests"
                )
            )
            text = f"{worker.draft.name}: {role}, though it is called {seen}: {why}"
            parts.ledger.rewrite(text, f"{worker.draft.key}.role")
    return list(zip(parts.workers, roles, strict=True))


def _engine(worker: Worker, role: str, parts: Parts) -> dict[str, Any]:
    draft = worker.draft
    values: dict[str, Any] = {"role": role} if role != BOTH else {}
    values |= _sizes(worker, parts)
    values["expert_parallel"] = draft.values.pop("expert_parallel", False)
    values |= draft.values
    _settle_transfer(values, role, draft)
    values |= {"args": draft.args} if draft.args else {}
    values |= {"env": worker.taken.env} if worker.taken.env else {}
    note_shared_memory(worker.service, parts.source, parts.ledger)
    return {key: values[key] for key in Engine.model_fields if key in values}


def _settle_transfer(values: dict[str, Any], role: str, draft: Draft) -> None:
    """A recipe's short word for how caches move, where the manifest's own configuration says the
    same."""
    config = values.get("kv_transfer")
    if config is None:
        values.pop("kv_transfer", None)
        if role != BOTH:
            text = (
                f"{draft.name}: KV caches move by NIXL; Dynamo no longer chooses it when nobody"
                " says so"
            )
            draft.ledger.rewrite(text, f"{draft.key}.kv_transfer")
            values["kv_transfer"] = "nixl"
    elif isinstance(config, dict):
        values["kv_transfer"] = next(
            (word for word in CONNECTORS if _means(word, role, config)), config
        )
        if role != BOTH and config.get("kv_role") == "kv_both" and values["kv_transfer"] != config:
            text = f"{draft.name}: kv_role kv_both is retired; it follows from the engine's role"
            draft.ledger.rewrite(text, f"{draft.key}.kv_transfer")


def _means(word: str, role: str, config: dict[str, Any]) -> bool:
    """kv_both, of old, and what follows from an engine's role today, are one for NIXL."""
    full = transfer_config(Engine.model_validate({"role": role, "kv_transfer": word})) or {}
    either = (
        full.get("kv_connector") == "NixlConnector"
        and config.get("kv_role", "kv_both") == "kv_both"
    )
    return full == (full | config if not either else {**full, **config, "kv_role": full["kv_role"]})


def _sizes(worker: Worker, parts: Parts) -> dict[str, Any]:
    service, draft = worker.service, worker.draft
    place = service.fields.place
    tensor = draft.values.pop("tensor_parallel_size", 1)
    layout = lay_out(
        Asked(
            f"{parts.source}:{place.line}: {place}",
            _nodes(service, parts),
            gpus_of(service, parts.source, parts.ledger),
            tensor,
            draft.sizes.get("data-parallel-size", 1),
            draft.sizes.get("data-parallel-size-local"),
        )
    )
    if layout.note:
        parts.ledger.rewrite(f"{draft.name}: {layout.note}", f"{draft.key}.nodes")
    sizes = {"nodes": layout.nodes, "ranks_per_node": layout.ranks}
    sizes |= {"tensor_parallel_size": tensor} if tensor > 1 else {}
    return sizes | _replicas(service, draft.key, parts)


def _replicas(service: Service, key: str, parts: Parts) -> dict[str, Any]:
    value = service.fields.get("replicas")
    if value is None:
        return {}
    parts.ledger.use(f"{key}.replicas", value.place)
    count = count_of(value, "replicas", parts.source)
    return {"replicas": count} if count > 1 else {}


def _nodes(service: Service, parts: Parts) -> int:
    multinode = service.fields.get("multinode")
    if not isinstance(multinode, Fields):
        return 1
    value: Value | None = multinode.get("nodeCount")
    if value is None:
        parts.ledger.rewrite(
            "multinode without nodeCount: two nodes, as Dynamo takes it", "nodes", multinode.place
        )
        return 2
    nodes = count_of(value, "nodeCount", parts.source)
    parts.ledger.use("nodes", value.place)
    if nodes < 1:
        raise InputError(
            f"{parts.source}:{value.place.line}: {value.place}: nodeCount is 0; at least 1 is"
            " wanted"
        )
    return nodes


def _frontend(parts: Parts) -> dict[str, Any]:
    values = dict(parts.front.values)
    if parts.front.args:
        values["args"] = parts.front.args
    for service in parts.front_services:
        values |= _replicas(service, "frontend", parts)
        if isinstance(service.fields.get("multinode"), Fields):
            parts.ledger.leave(
                "a frontend is one process", service.fields.values["multinode"].place
            )
        note_shared_memory(service, parts.source, parts.ledger)
    return values


def _model(parts: Parts) -> dict[str, Any]:
    named = [worker for worker in parts.workers if worker.draft.model]
    if not named:
        parts.ledger.ask(
            f"no service says --model; Dynamo would take {_DEFAULT_MODEL}", "model.path"
        )
        return {"path": _DEFAULT_MODEL, "served_name": _DEFAULT_MODEL}
    first = named[0].draft.model
    assert first is not None
    for worker in named:
        flag = worker.draft.model
        assert flag is not None
        if flag.text != first.text:
            worker.draft.refuse(
                flag, f"another service serves {short(first.text)}; a recipe serves one model"
            )
        parts.ledger.use("model.path", *flag.places)
    if first.unknown:
        parts.ledger.ask(
            f"--model {short(first.text)}: what it stands for is not in the manifest; give --model",
            "model.path",
            *first.places,
        )
    return {"path": first.text, "served_name": _served_name(parts) or first.text}


def _served_name(parts: Parts) -> str:
    """The name that clients ask for; every service must say the same, so the first is it."""
    chosen = ""
    for worker in parts.workers:
        flag = worker.draft.served
        for number, name in enumerate(flag.values if flag else ()):
            assert flag is not None
            chosen = chosen or name
            if name == chosen:
                parts.ledger.use("model.served_name", *flag.places)
            elif number:
                parts.ledger.leave(
                    f"served name {short(name)}: a recipe has one, {short(chosen)}", *flag.places
                )
            else:
                worker.draft.refuse(
                    flag, f"another service serves it as {short(chosen)}; a recipe has one name"
                )
    return chosen


def _timeouts(parts: Parts) -> dict[str, Any]:
    services = [*parts.front_services, *(worker.service for worker in parts.workers)]
    starts = [
        seconds
        for service in services
        if (seconds := startup_seconds(service, parts.source, parts.ledger))
    ]
    starts += [
        _engine_timeout(worker, parts) for worker in parts.workers if READY in worker.taken.special
    ]
    stops = [
        seconds
        for service in services
        if (seconds := grace_seconds(service, parts.source, parts.ledger))
    ]
    values: dict[str, Any] = {}
    if starts and max(starts) >= _SHORTEST_START:
        values["ready"] = max(starts)
    elif starts:
        parts.ledger.rewrite(
            f"{max(starts)} s are few for a start on bare hosts; timeouts.ready stays as dsr1"
            " has it",
            "timeouts.ready",
        )
    if stops:
        values["stop"] = max(stops)
    return values


def _engine_timeout(worker: Worker, parts: Parts) -> int:
    setting = worker.taken.special[READY]
    text = setting.value or ""
    if not (text.isascii() and text.isdecimal() and len(text) < 8):
        worker.draft.refuse_at(
            setting.places, f"{setting.name} is {short(text)}; seconds are wanted"
        )
    parts.ledger.use("timeouts.ready", *setting.places)
    return int(text)


def _note_mounts(parts: Parts) -> None:
    """Paths that lie in a volume of Kubernetes: the hosts must have them, or the recipe another."""
    for worker in parts.workers:
        mounts = mounts_of(worker.service)
        model = worker.draft.model
        if model and (mount := mount_of(model.text, mounts)):
            _ask_for(
                mount,
                f"model.path {short(model.text)}",
                "give the hosts' own folder with --model",
                "model.path",
                parts,
            )
        for name, value in worker.taken.env.items():
            if mount := mount_of(value, mounts):
                _ask_for(
                    mount,
                    f"{name}={short(value)}",
                    "or set another",
                    f"{worker.draft.key}.env.{name}",
                    parts,
                )


def _ask_for(mount: Mount, what: str, wish: str, key: str, parts: Parts) -> None:
    text = f"{what} lies in volume {short(mount.name)}: the hosts need it there; {wish}"
    parts.ledger.ask(text, key, mount.place)


def _note_router(parts: Parts, engines: Mapping[str, Mapping[str, Any]]) -> None:
    """A prompt goes where its beginning is cached: to prefill, where that is apart."""
    deaf = [
        name
        for name, engine in engines.items()
        if engine.get("role") != DECODE and not engine.get("kv_events")
    ]
    if parts.front.values.get("router_mode") == "kv" and deaf:
        text = (
            "router_mode kv guesses what is cached unless workers tell it; kv_events: true makes"
            " them"
        )
        parts.ledger.ask(text, f"engines.{deaf[0]}.kv_events")
