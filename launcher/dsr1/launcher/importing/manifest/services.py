"""The services of a deployment, in either shape of the API: v1alpha1's `services` and v1beta1's
`components`."""

from collections.abc import Iterator
from dataclasses import dataclass

from dsr1.hosts.errors import InputError
from dsr1.launcher.importing.manifest.kubernetes import placeholders
from dsr1.launcher.importing.manifest.ledger import Ledger
from dsr1.launcher.importing.manifest.tree import Fields, Items, Scalar, Value

MAIN = "main"
_MOST = 25


@dataclass(frozen=True, slots=True)
class Service:
    """`kind` is frontend, worker, or the manifest's word for what dsr1 doesn't run; `role` what it
    says of itself."""

    name: str
    kind: str
    role: str
    fields: Fields
    pod: Fields
    container: Fields


def read_services(spec: Fields, source: str, ledger: Ledger) -> tuple[Service, ...]:
    """Raises InputError where there is none."""
    found = tuple(
        _service(name, fields, ledger)
        for key in ("services", "components")
        for name, fields in _named(spec.get(key))
    )
    if not found:
        place = spec.place
        raise InputError(
            f"{source}:{place.line}: {place}: has neither services nor components: nothing to serve"
        )
    if len(found) > _MOST:
        place = found[_MOST].fields.place
        raise InputError(
            f"{source}:{place.line}: {place}: {len(found)} services; Dynamo's API allows {_MOST}"
        )
    return found


def _named(value: Value | None) -> Iterator[tuple[str, Fields]]:
    if isinstance(value, Fields):
        for name, fields in value.values.items():
            if isinstance(fields, Fields):
                yield name, fields
    for item in value.values if isinstance(value, Items) else ():
        if isinstance(item, Fields):
            yield (
                item.text("name") or item.text("serviceName") or f"service-{item.place.path[-1]}",
                item,
            )


def _service(name: str, fields: Fields, ledger: Ledger) -> Service:
    pod = fields.fields("extraPodSpec")
    if not pod.values:
        pod = fields.fields("podTemplate", "spec")
    container = pod.fields("mainContainer")
    if not container.values:
        container = _main(pod)
    kind, role = _kind(name, fields)
    _use_names(name, kind, fields, container, ledger)
    return Service(name, kind, role, fields, pod, container)


def _use_names(name: str, kind: str, fields: Fields, container: Fields, ledger: Ledger) -> None:
    """What tells a service's kind and the container that counts; a frontend's own name says nothing
    more."""
    key = "frontend" if kind == "frontend" else f"engines ({name})"
    told = [fields.get(word) for word in ("componentType", "type", "subComponentType")]
    told += [container.get("name")] + ([fields.get("name")] if kind != "frontend" else [])
    ledger.use(key, *(value.place for value in told if isinstance(value, Scalar)))
    own = fields.get("name")
    if kind == "frontend" and isinstance(own, Scalar):
        ledger.leave("name: the frontend of a recipe has none of its own", own.place)


def _main(pod: Fields) -> Fields:
    """The container called main; where none is, an only one."""
    containers = [item for item in pod.items("containers") if isinstance(item, Fields)]
    named = [container for container in containers if container.text("name") == MAIN]
    return next(iter(named or (containers if len(containers) == 1 else [])), Fields(pod.place, {}))


def _kind(name: str, fields: Fields) -> tuple[str, str]:
    """What it is, and its role: prefill or decode, where it says so by its type or its name."""
    given = (fields.text("componentType") or fields.text("type")).lower()
    said = fields.text("subComponentType").lower() or given
    role = next((word for word in ("prefill", "decode") if word in said), "")
    role = role or next((word for word in ("prefill", "decode") if word in name.lower()), "")
    if given in ("main", "") and "frontend" in name.lower():
        return "frontend", role
    return ("worker" if given in ("worker", "prefill", "decode", "main", "") else given), role


def gpus_of(service: Service, source: str, ledger: Ledger) -> int | None:
    """GPUs of one node, from limits or requests, in any spelling; None where none stands. Raises
    InputError."""
    parts = [service.fields.fields("device", "resources")]
    for resources in (service.fields.fields("resources"), service.container.fields("resources")):
        parts += [resources.fields("limits"), resources.fields("requests")]
    spelled = (("gpu",), ("nvidia.com/gpu",), ("custom", "nvidia.com/gpu"))
    counts = []
    for found in (part.get(*keys) for part in parts for keys in spelled):
        if isinstance(found, Scalar) and not placeholders(found.text):
            counts.append(count_of(found, "the number of GPUs", source))
            ledger.use("ranks_per_node", found.place)
    return counts[0] if counts else None


def count_of(value: Value | None, what: str, source: str) -> int:
    """A number, also one in quotes. Raises InputError that names the place."""
    text = value.text.strip() if isinstance(value, Scalar) else ""
    if text.isdecimal() and len(text) < 7:
        return int(text)
    place = value.place if value else ""
    line = value.place.line if value else 0
    seen = repr(value.text) if isinstance(value, Scalar) else "no number"
    raise InputError(f"{source}:{line}: {place}: {what} is {seen}; a whole number is wanted")
