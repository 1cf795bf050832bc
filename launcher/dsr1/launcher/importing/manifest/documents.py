"""The documents of a manifest file: the one deployment to import, and what stands beside it."""

from collections.abc import Iterator, Sequence

from dsr1.hosts.errors import InputError
from dsr1.launcher.importing.manifest.command import short
from dsr1.launcher.importing.manifest.environment import ConfigMaps
from dsr1.launcher.importing.manifest.ledger import Ledger
from dsr1.launcher.importing.manifest.left_out import KINDS
from dsr1.launcher.importing.manifest.tree import Fields, Items, Scalar, Value

KIND = "DynamoGraphDeployment"
_GROUP = "nvidia.com/"
_VERSIONS = (f"{_GROUP}v1alpha1", f"{_GROUP}v1beta1")
_LISTS = ("List", f"{KIND}List")


def choose_deployment(documents: Sequence[Value], name: str, source: str) -> Fields:
    """The deployment of that name, or the only one. Raises InputError that says what the file has
    instead."""
    found = [item for item in _objects(documents) if item.text("kind") == KIND and _is_ours(item)]
    chosen = [item for item in found if not name or item.text("metadata", "name") == name]
    names = ", ".join(sorted(repr(item.text("metadata", "name")) for item in found))
    if len(chosen) == 1:
        return chosen[0]
    if found:
        wish = f"none is called {name!r}" if name and not chosen else "choose one with --name"
        raise InputError(f"{source}: {len(found)} of kind {KIND}: {names}; {wish}")
    raise InputError(
        f"{source}: {_instead(documents)}; wanted is one of kind {KIND} ({' or '.join(_VERSIONS)})"
    )


def _objects(documents: Sequence[Value]) -> Iterator[Fields]:
    """Every object: documents, and what lists of them hold."""
    for document in documents:
        if isinstance(document, Fields) and document.text("kind") in _LISTS:
            yield from (item for item in document.items("items") if isinstance(item, Fields))
        elif isinstance(document, Fields):
            yield document


def _is_ours(item: Fields) -> bool:
    return item.text("apiVersion").startswith(_GROUP)


def _instead(documents: Sequence[Value]) -> str:
    seen = []
    for item in documents:
        kind = item.text("kind") if isinstance(item, Fields) else ""
        what = (
            f"{item.text('apiVersion')} {kind}".strip()
            if isinstance(item, Fields) and kind
            else "no kind"
        )
        seen.append(f"line {item.place.line} {what}")
    return f"holds {', '.join(seen[:8])}{', ...' if len(seen) > 8 else ''}" if seen else "is empty"


def config_maps(documents: Sequence[Value], source: str) -> ConfigMaps:
    """The ConfigMaps and Secrets of the file, by name."""
    objects = [item for item in _objects(documents) if item.text("metadata", "name")]
    return ConfigMaps(
        source,
        {
            item.text("metadata", "name"): item
            for item in objects
            if item.text("kind") == "ConfigMap"
        },
        {item.text("metadata", "name"): item for item in objects if item.text("kind") == "Secret"},
    )


def report_others(documents: Sequence[Value], chosen: Fields, ledger: Ledger) -> None:
    """Every object beside the chosen one: left out as a whole."""
    for item in _objects(documents):
        if item is not chosen:
            kind = item.text("kind") or "object without a kind"
            why = KINDS.get(kind, "not a part of what dsr1 serves")
            ledger.leave(f"{kind} {item.text('metadata', 'name')!r}: {why}", item.place)
    for document in documents:
        if not isinstance(document, Fields):
            ledger.leave("no object of Kubernetes", document.place)
        elif document.text("kind") in _LISTS:
            _around(document, ledger)


def _around(listing: Fields, ledger: Ledger) -> None:
    for key, value in listing.values.items():
        if not (key == "items" and isinstance(value, Items)):
            ledger.leave("of the list around the objects", value.place)
        else:
            ledger_scalars = [item.place for item in value.values if isinstance(item, Scalar)]
            if ledger_scalars:
                ledger.leave("no object of Kubernetes", *ledger_scalars)


def report_version(deployment: Fields, ledger: Ledger) -> None:
    """A version that nobody here has read is read as if it were one of those that are known, which
    a user must hear."""
    version = deployment.values["apiVersion"]
    text = deployment.text("apiVersion")
    if text in _VERSIONS:
        ledger.use("stack", version.place)
    else:
        ledger.ask(
            f"apiVersion {short(text)}: dsr1 knows {' and '.join(_VERSIONS)}; read it over",
            "",
            version.place,
        )


def check_backend(spec: Fields, source: str, ledger: Ledger) -> None:
    """Raises InputError for a deployment of another engine."""
    backend = spec.get("backendFramework")
    if backend is None:
        return
    if not isinstance(backend, Scalar) or backend.text != "vllm":
        seen = repr(backend.text) if isinstance(backend, Scalar) else "no text"
        raise InputError(
            f"{source}:{backend.place.line}: {backend.place}: backend is {seen}; dsr1 launches vllm"
            " and nothing else"
        )
    ledger.use("stack", backend.place)
