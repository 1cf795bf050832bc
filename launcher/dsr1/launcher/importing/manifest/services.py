"""The services of a deployment, in either shape of the API: v1alpha1's `services` and v1beta1's
`components`."""

from collections.abc import Iterable, Iterator

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.importing.manifest.kubernetes import placeholders
from dsr1.launcher.importing.manifest.ledger import Ledger
from dsr1.launcher.importing.manifest.tree import (
    Place,
    YamlList,
    YamlMapping,
    YamlText,
    YamlValue,
    refuse,
)

MAIN = "main"
_MOST = 25


@dataclass(frozen=True, slots=True)
class GraphService:
    """`kind` is frontend, worker, or the manifest's word for what dsr1 doesn't run; `role` what it
    says of itself."""

    name: str
    kind: str
    role: str
    fields: YamlMapping
    pod: YamlMapping
    container: YamlMapping


def read_services(spec: YamlMapping, ledger: Ledger) -> tuple[GraphService, ...]:
    """Raises InputError where there is none."""
    found = tuple(
        _service(name, fields, ledger)
        for key in ("services", "components")
        for name, fields in _named(spec.get(key))
    )
    if not found:
        refuse(spec.place, "has neither services nor components, so there is nothing to serve")
    if len(found) > _MOST:
        text = f"{len(found)} services; Dynamo's API allows {_MOST}"
        refuse(found[_MOST].fields.place, text)
    return found


def sidecar_frontends(service: GraphService) -> Iterator[GraphService]:
    """Containers beside a worker's own that run Dynamo's frontend, as an endpoint picker wants it:
    of a recipe they are the frontend."""
    main = service.container
    for item in service.pod.items("containers"):
        if isinstance(item, YamlMapping) and item is not main and _runs_frontend(item):
            name = item.text("name") or "frontend"
            yield GraphService(name, "frontend", "", item, YamlMapping(item.place, {}), item)


def _runs_frontend(container: YamlMapping) -> bool:
    words = [*container.items("command"), *container.items("args")]
    return any(isinstance(word, YamlText) and "dynamo.frontend" in word.text for word in words)


def _named(value: YamlValue | None) -> Iterator[tuple[str, YamlMapping]]:
    if isinstance(value, YamlMapping):
        for name, fields in value.values.items():
            if isinstance(fields, YamlMapping):
                yield name, fields
    for item in value.values if isinstance(value, YamlList) else ():
        if isinstance(item, YamlMapping):
            yield (
                item.text("name") or item.text("serviceName") or f"service-{item.place.path[-1]}",
                item,
            )


def _service(name: str, fields: YamlMapping, ledger: Ledger) -> GraphService:
    pod = fields.fields("extraPodSpec")
    if not pod.values:
        pod = fields.fields("podTemplate", "spec")
    container = pod.fields("mainContainer")
    if not container.values:
        container = _main(pod)
    kind, role = _kind(name, fields)
    _use_names(name, kind, fields, container, ledger)
    return GraphService(name, kind, role, fields, pod, container)


def _use_names(
    name: str, kind: str, fields: YamlMapping, container: YamlMapping, ledger: Ledger
) -> None:
    """What tells a service's kind and the container that counts; a frontend's own name says nothing
    more."""
    key = "frontend" if kind == "frontend" else f"engines ({name})"
    given = [fields.get(word) for word in ("componentType", "type", "subComponentType")]
    given += [container.get("name")] + ([fields.get("name")] if kind != "frontend" else [])
    ledger.use(key, *(value.place for value in given if isinstance(value, YamlText)))
    own = fields.get("name")
    if kind == "frontend" and isinstance(own, YamlText):
        ledger.leave("name: the frontend of a recipe has none of its own", own.place)


def _main(pod: YamlMapping) -> YamlMapping:
    """The container called main; where none is, an only one."""
    containers = [item for item in pod.items("containers") if isinstance(item, YamlMapping)]
    named = [container for container in containers if container.text("name") == MAIN]
    return next(
        iter(named or (containers if len(containers) == 1 else [])), YamlMapping(pod.place, {})
    )


def _kind(name: str, fields: YamlMapping) -> tuple[str, str]:
    """What it is, and its role: prefill or decode, where it says so by its type or its name."""
    given = (fields.text("componentType") or fields.text("type")).lower()
    declared = fields.text("subComponentType").lower() or given
    role = next((word for word in ("prefill", "decode") if word in declared), "")
    role = role or next((word for word in ("prefill", "decode") if word in name.lower()), "")
    if given in ("main", "") and "frontend" in name.lower():
        return "frontend", role
    return ("worker" if given in ("worker", "prefill", "decode", "main", "") else given), role


def gpus_per_node(service: GraphService, ledger: Ledger) -> int | None:
    """From limits or requests, in any spelling; None where none stands. Raises InputError."""
    parts = [service.fields.fields("device", "resources")]
    for resources in (service.fields.fields("resources"), service.container.fields("resources")):
        parts += [resources.fields("limits"), resources.fields("requests")]
    spellings = (("gpu",), ("nvidia.com/gpu",), ("custom", "nvidia.com/gpu"))
    counts = []
    for found in (part.get(*keys) for part in parts for keys in spellings):
        if isinstance(found, YamlText) and not placeholders(found.text):
            counts.append(count_of(found, "the number of GPUs"))
            ledger.use("ranks_per_node", found.place)
    return counts[0] if counts else None


def count_of(value: YamlValue, what: str) -> int:
    """A number, also one in quotes. Raises InputError that names the place."""
    text = value.text.strip() if isinstance(value, YamlText) else ""
    if not (text.isdecimal() and len(text) < 7):
        found = repr(value.text) if isinstance(value, YamlText) else "not a number"
        fill = (
            "; `envsubst < FILE | dsr1 import -` fills in what the shell has" if "$" in text else ""
        )
        refuse(value.place, f"{what} is {found}; it must be a whole number{fill}")
    return int(text)


def group_values(service: GraphService) -> dict[str, str]:
    """What a LeaderWorkerSet tells each of its pods, as the first of them hears it."""
    size = service.fields.text("multinode", "nodeCount").strip() or "1"
    return {"LWS_WORKER_INDEX": "0", "LWS_GROUP_SIZE": size, "LWS_LEADER_ADDRESS": "leader"}


@dataclass(frozen=True, slots=True)
class Mount:
    name: str
    path: str
    place: Place


def mounts_of(service: GraphService) -> tuple[Mount, ...]:
    """In either spelling: mountPoint of a service, mountPath of a container."""
    found = []
    for holder, key in ((service.fields, "mountPoint"), (service.container, "mountPath")):
        for item in holder.items("volumeMounts"):
            path = item.get(key) if isinstance(item, YamlMapping) else None
            if isinstance(item, YamlMapping) and isinstance(path, YamlText):
                found.append(Mount(item.text("name"), path.text.rstrip("/"), path.place))
    return tuple(found)


def mount_holding(path: str, mounts: Iterable[Mount]) -> Mount | None:
    """The mount that a path lies in, the deepest of several."""
    around = [
        mount
        for mount in mounts
        if mount.path and (path == mount.path or path.startswith(f"{mount.path}/"))
    ]
    return max(around, key=lambda mount: len(mount.path), default=None)
