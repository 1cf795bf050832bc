"""Files that are no manifest: a script that starts vLLM, and recipes of srt-slurm. Each is written
down as the deployment that it means, and imported as one."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import yaml

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.launcher.importing.importer import Imported, import_manifest
from dsr1.launcher.importing.manifest.ledger import Note, NoteKind
from dsr1.launcher.importing.script_file import is_script, read_script_file
from dsr1.launcher.recipe.engine import CONNECTORS

ROLES = {"prefill": "prefill", "decode": "decode", "agg": "aggregated"}
"""How resources call them, and how vllm_config does."""
_SRT_LEFT_OUT = {
    "model": "hosts bring their own vLLM and Dynamo (runtime.venv or --venv)",
    "resources": "dsr1 takes the hosts that you name (--hosts), or asks Slurm for as many",
    "benchmark": "dsr1 serves; a load is brought by others",
    "health_check": "dsr1 asks every process by itself whether it serves (timeouts.ready)",
    "dynamo": "hosts bring their own vLLM and Dynamo (runtime.venv or --venv)",
    "infra": "dsr1 starts etcd where one is needed, and no NATS",
    "frontend": "dsr1 starts one frontend, or frontend.replicas of them behind one address",
}
_UNKNOWN_SRT = "dsr1 does not know this key of srt-slurm's"
_SLURM = {"account": "account", "partition": "partition", "time_limit": "time"}


def import_file(text: str, source: str, name: str = "", keep_unknown: bool = False) -> Imported:
    """A manifest, a script, or a recipe of srt-slurm. Raises InputError that names source and what
    is wanted."""
    if is_script(text):
        return _import_script(text, source, keep_unknown)
    if (srt := _srt_recipe(text)) is not None:
        return _import_srt(srt, source, keep_unknown)
    return import_manifest(text, source, name, keep_unknown)


def _import_script(text: str, source: str, keep_unknown: bool) -> Imported:
    """vLLM's own servers take more flags than Dynamo's workers: they are kept as they stand."""
    script = read_script_file(text, source)
    try:
        found = import_manifest(script.manifest, source, "", keep_unknown or script.serves)
    except InputError as error:
        raise InputError(_at_own_lines(str(error), source, script.shift)) from None
    recipe = dict(found.recipe)
    if script.serves:
        recipe["stack"] = "vllm"
    if script.port:
        recipe["frontend"] = {**recipe.get("frontend", {}), "port": script.port}
    told = [_of_server(note) for note in found.notes if not _is_made_up(note)]
    notes = [_at_own_line(note, script.shift) for note in told]
    left = (Note(NoteKind.LEFT_OUT, (), text) for text in script.left_out)
    return Imported(recipe, (*notes, *left))


def _of_server(note: Note) -> Note:
    """A flag that Dynamo's workers don't know may be one of vLLM's server."""
    flag, stands, _ = note.text.partition(": neither vLLM 0.31 nor Dynamo 1.6.1 knows it")
    if not stands:
        return note
    return replace(note, text=f"{flag}: kept for vLLM's server, which `dsr1 check` asks")


def _at_own_line(note: Note, shift: int) -> Note:
    places = (replace(place, line=place.line - shift) for place in note.places)
    return replace(note, places=tuple(places))


def _at_own_lines(message: str, source: str, shift: int) -> str:
    """A message speaks of the file, not of the deployment around it."""

    def own(found: re.Match[str]) -> str:
        return f"{source}:{int(found[1]) - shift}: "

    return re.sub(rf"{re.escape(source)}:(\d+): (spec\.\S+: )?", own, message)


def _is_made_up(note: Note) -> bool:
    """Of what stands around the script, which the file doesn't have."""
    return bool(note.places) and all(place.path[:1] != ("spec",) for place in note.places)


@dataclass(frozen=True, slots=True)
class SrtRecipe:
    """A recipe of srt-slurm's for vLLM."""

    values: Mapping[str, Any]

    def part(self, *keys: str) -> dict[str, Any]:
        value: Any = self.values
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return dict(value) if isinstance(value, Mapping) else {}


def _srt_recipe(text: str) -> SrtRecipe | None:
    """None: it is something else."""
    if "backend:" not in text or "resources:" not in text or re.search(r"^kind:", text, re.M):
        return None
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        return None
    if not isinstance(values, dict) or not {"backend", "resources"} <= values.keys():
        return None
    return SrtRecipe({str(key): value for key, value in values.items()})


def _import_srt(srt: SrtRecipe, source: str, keep_unknown: bool) -> Imported:
    backend = srt.part("backend")
    kind = backend.get("type", "vllm")
    if kind != "vllm":
        raise InputError(f"{source}: backend.type is {kind!r}; dsr1 launches only vllm")
    components = list(_components(srt, source))
    if not components:
        raise InputError(f"{source}: backend.vllm_config has none of {', '.join(ROLES.values())}")
    made = {
        "apiVersion": "nvidia.com/v1alpha1",
        "kind": "DynamoGraphDeployment",
        "metadata": {"name": str(srt.values.get("name") or "srt")},
        "spec": {"services": dict(components)},
    }
    try:
        found = import_manifest(json.dumps(made), source, "", keep_unknown)
    except InputError as error:
        raise InputError(_in_their_words(str(error), source)) from None
    recipe = _with_connector(dict(found.recipe), backend.get("connector", "nixl"))
    if slurm := _slurm(srt):
        recipe["slurm"] = slurm
    notes = (replace(note, places=()) for note in found.notes if note.kind is not NoteKind.LEFT_OUT)
    return Imported(recipe, (*notes, *_srt_notes(srt)))


def _in_their_words(message: str, source: str) -> str:
    container = r"extraPodSpec\.mainContainer\.\w+(\[\d+\])?"
    place = rf"^{re.escape(source)}:\d+: spec\.services\.(\w+)\.{container}"
    return re.sub(place, rf"{source}: backend.vllm_config.\1", message, flags=re.MULTILINE)


def _components(srt: SrtRecipe, source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    resources = srt.part("resources")
    for role, long in ROLES.items():
        backend = srt.part("backend")
        config = _either(srt.part("backend", "vllm_config"), role, long)
        if config is None:
            continue
        nodes = _count(resources, f"{role}_nodes", source, 0)
        workers = _count(resources, f"{role}_workers", source, 1)
        if nodes > workers and nodes % workers:
            raise InputError(f"{source}: resources: {nodes} nodes for {workers} {role} workers")
        env = _either(backend, f"{role}_environment", f"{long}_environment") or {}
        service: dict[str, Any] = {
            "componentType": "worker",
            "replicas": workers,
            "resources": {"limits": {"gpu": str(_gpus(resources, role, nodes, workers))}},
            "envs": [{"name": str(key), "value": _word(value)} for key, value in env.items()],
            "extraPodSpec": {
                "nodeSelector": {"gpu": str(resources.get("gpu_type", ""))},
                "mainContainer": {"args": list(_arguments(srt, role, config))},
            },
        }
        if nodes > workers:
            service["multinode"] = {"nodeCount": nodes // workers}
        yield role, service


def _either(values: Mapping[str, Any], *names: str) -> dict[str, Any] | None:
    found = next((values[name] for name in names if name in values), None)
    return dict(found) if isinstance(found, Mapping) else None


def _count(resources: Mapping[str, Any], key: str, source: str, least: int) -> int:
    """No nodes of its own: an engine shares those of another."""
    value = resources.get(key, 1)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        wanted = f"it must be a number of {least} or more"
        raise InputError(f"{source}: resources.{key} is {value!r}; {wanted}")
    return value


def _gpus(resources: Mapping[str, Any], role: str, nodes: int, workers: int) -> int:
    each = resources.get("gpus_per_node", 8)
    total = resources.get(f"gpus_per_{role}")
    if isinstance(total, int) and nodes <= workers:
        return total
    if not isinstance(each, int) or nodes == 0:
        return 8
    return each // -(-workers // nodes)


def _arguments(srt: SrtRecipe, role: str, config: Mapping[str, Any]) -> Iterator[str]:
    if role != "agg":
        yield from ("--disaggregation-mode", role)
    path = srt.part("model").get("path")
    if path and "model" not in config:
        yield from ("--model", str(path))
    for key, value in config.items():
        flag = f"--{str(key).replace('_', '-')}"
        if isinstance(value, bool):
            yield flag if value else f"--no-{flag[2:]}"
        elif isinstance(value, list):
            yield from (flag, *map(_word, value))
        elif value is not None:
            yield from (flag, _word(value))


def _word(value: object) -> str:
    if isinstance(value, dict | list | bool):
        return json.dumps(value)
    return "" if value is None else str(value)


def _with_connector(recipe: dict[str, Any], connector: object) -> dict[str, Any]:
    """Of prefill and decode apart, where it is not said among the flags."""
    if connector in CONNECTORS and connector != "nixl":
        for engine in recipe["engines"].values():
            if engine.get("role") and engine.get("kv_transfer") in (None, "nixl"):
                engine["kv_transfer"] = connector
    return recipe


def _slurm(srt: SrtRecipe) -> dict[str, str]:
    given = srt.part("slurm")
    return {ours: str(given[theirs]) for theirs, ours in _SLURM.items() if given.get(theirs)}


def _srt_notes(srt: SrtRecipe) -> Iterator[Note]:
    for key in srt.values:
        if key not in ("name", "backend", "slurm"):
            text = f"{key}: {_SRT_LEFT_OUT.get(key, _UNKNOWN_SRT)}"
            yield Note(NoteKind.LEFT_OUT, (), text)
    roles = (*ROLES, *ROLES.values())
    known = {"type", "connector", "vllm_config", *(f"{role}_environment" for role in roles)}
    for key in srt.part("backend").keys() - known:
        yield Note(NoteKind.NOT_KNOWN, (), f"backend.{key}: {_UNKNOWN_SRT}")
    for key in srt.part("slurm").keys() - _SLURM.keys():
        yield Note(NoteKind.NOT_KNOWN, (), f"slurm.{key}: {_UNKNOWN_SRT}")
