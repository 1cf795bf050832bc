"""The parts that were read to one recipe: the engines, and the frontend, model and timeouts that
its services share."""

from typing import Any

from dsr1.launcher.importing.engines import assemble_engines, replicas_of
from dsr1.launcher.importing.manifest.ledger import Ledger
from dsr1.launcher.importing.manifest.names import recipe_name
from dsr1.launcher.importing.manifest.probes import (
    grace_seconds,
    note_shared_memory,
    startup_seconds,
)
from dsr1.launcher.importing.manifest.services import Mount, mount_holding, mounts_of
from dsr1.launcher.importing.manifest.tree import YamlMapping, YamlText
from dsr1.launcher.importing.manifest.variables import READY
from dsr1.launcher.importing.parts import DeploymentParts
from dsr1.launcher.importing.shell.secrecy import quoted
from dsr1.launcher.importing.vllm.arguments import Flag
from dsr1.launcher.importing.vllm.draft import WorkerDraft

_DEFAULT_MODEL = "Qwen/Qwen3-0.6B"
_SHORTEST_START = 600


def assemble(parts: DeploymentParts, deployment: YamlMapping) -> dict[str, Any]:
    """The recipe as plain data, in the order in which people read one. Raises InputError for what
    can't be."""
    engines = assemble_engines(parts)
    recipe = {
        "name": _name(deployment, parts.ledger),
        "model": _model(parts),
        "runtime": {"env": parts.env} if parts.env else None,
        "stack": "dynamo",
        "frontend": _frontend(parts),
        "engines": engines,
        "timeouts": _timeouts(parts),
    }
    for worker in parts.workers:
        _note_mounts(worker, parts.ledger)
    return {key: value for key, value in recipe.items() if value}


def _name(deployment: YamlMapping, ledger: Ledger) -> str:
    ledger.use("stack", deployment.values["kind"].place)
    written = deployment.get("metadata", "name")
    if not isinstance(written, YamlText):
        return recipe_name("")
    name = recipe_name(written.text)
    ledger.use("name", written.place)
    if name != written.text:
        why = "a recipe's name is at most 32 lower-case letters, digits and dashes"
        ledger.rewrite(f"name {quoted(written.text)}: {why}", "name", written.place)
    return name


def _frontend(parts: DeploymentParts) -> dict[str, Any]:
    values = dict(parts.front.values)
    if parts.front.args:
        values["args"] = parts.front.args
    for service in parts.front_services:
        values |= replicas_of(service, "frontend", parts.ledger)
        multinode = service.fields.get("multinode")
        if isinstance(multinode, YamlMapping):
            parts.ledger.leave("a frontend is one process", multinode.place)
        note_shared_memory(service, parts.ledger)
    return values


def _model(parts: DeploymentParts) -> dict[str, str]:
    """Every service must name the same, so the first is it."""
    chosen: Flag | None = None
    for worker in parts.workers:
        flag = worker.draft.model
        if not flag:
            continue
        chosen = chosen or flag
        if flag.text != chosen.text:
            why = f"another service serves {quoted(chosen.text)}; a recipe serves one model"
            worker.draft.refuse(flag, why)
        parts.ledger.use("model.path", *flag.places)
    if not chosen:
        text = f"no service gives --model; Dynamo's default is {_DEFAULT_MODEL}"
        parts.ledger.ask(text, "model.path")
        return {"path": _DEFAULT_MODEL, "served_name": _DEFAULT_MODEL}
    if chosen.unknown:
        text = "what it stands for is not in the manifest; give --model"
        parts.ledger.ask(f"--model {quoted(chosen.text)}: {text}", "model.path", *chosen.places)
    return {"path": chosen.text, "served_name": _served_name(parts) or chosen.text}


def _served_name(parts: DeploymentParts) -> str:
    """The name that clients ask for; every service must give the same, so the first is it."""
    chosen = ""
    for worker in parts.workers:
        flag = worker.draft.served
        if not flag:
            continue
        first, *others = flag.values
        chosen = chosen or first
        if first != chosen:
            why = f"another service serves it as {quoted(chosen)}; a recipe has one name"
            worker.draft.refuse(flag, why)
        parts.ledger.use("model.served_name", *flag.places)
        for name in others:
            if name != chosen:
                text = f"served name {quoted(name)}: a recipe has one, {quoted(chosen)}"
                parts.ledger.leave(text, *flag.places)
    return chosen


def _timeouts(parts: DeploymentParts) -> dict[str, int]:
    ledger = parts.ledger
    starts = [startup_seconds(service, ledger) for service in parts.services]
    starts += [_engine_timeout(worker, ledger) for worker in parts.workers]
    start = max(filter(None, starts), default=0)
    stop = max((grace_seconds(service, ledger) or 0 for service in parts.services), default=0)
    values = {}
    if start >= _SHORTEST_START:
        values["ready"] = start
    elif start:
        text = f"{start} s are too few for a start on bare hosts; dsr1's own timeouts.ready stays"
        ledger.rewrite(text, "timeouts.ready")
    if stop:
        values["stop"] = stop
    return values


def _engine_timeout(worker: WorkerDraft, ledger: Ledger) -> int | None:
    variable = worker.variables.special.get(READY)
    if not variable:
        return None
    text = variable.value or ""
    if not (text.isascii() and text.isdecimal() and len(text) < 8):
        why = f"{variable.name} is {quoted(text)}; it must be a number of seconds"
        worker.draft.refuse_at(variable.places, why)
    ledger.use("timeouts.ready", *variable.places)
    return int(text)


def _note_mounts(worker: WorkerDraft, ledger: Ledger) -> None:
    """Paths that lie in a volume of Kubernetes: the hosts must have them, or the recipe another."""
    mounts = mounts_of(worker.service)
    model = worker.draft.model
    if model and (mount := mount_holding(model.text, mounts)):
        what, advice = f"model.path {quoted(model.text)}", "give the hosts' own folder with --model"
        _ask_for(mount, what, advice, "model.path", ledger)
    for name, value in worker.variables.env.items():
        if mount := mount_holding(value, mounts):
            key = f"{worker.draft.key}.env.{name}"
            _ask_for(mount, f"{name}={quoted(value)}", "or set another", key, ledger)


def _ask_for(mount: Mount, what: str, advice: str, key: str, ledger: Ledger) -> None:
    text = f"{what} lies in volume {quoted(mount.name)}: the hosts need it there; {advice}"
    ledger.ask(text, key, mount.place)
