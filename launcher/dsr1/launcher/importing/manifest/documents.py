"""The documents of a manifest file: the one deployment to import, and what stands beside it."""

from collections.abc import Iterator, Sequence

from dsr1.hosts.errors import InputError
from dsr1.launcher.importing.manifest.advice import KINDS as ADVICE
from dsr1.launcher.importing.manifest.environment import ConfigMaps
from dsr1.launcher.importing.manifest.ledger import Ledger
from dsr1.launcher.importing.manifest.left_out import KINDS
from dsr1.launcher.importing.manifest.tree import (
    YamlList,
    YamlMapping,
    YamlText,
    YamlValue,
    refuse,
)
from dsr1.launcher.importing.shell.secrecy import quoted

KIND = "DynamoGraphDeployment"
_GROUP = "nvidia.com/"
_VERSIONS = (f"{_GROUP}v1alpha1", f"{_GROUP}v1beta1")
_MOST_NAMED = 8
_NO_OBJECT = "not a Kubernetes object"
_LISTS = ("List", f"{KIND}List")


def choose_deployment(documents: Sequence[YamlValue], name: str, source: str) -> YamlMapping:
    """The deployment of that name, or the only one. Raises InputError that says what the file has
    instead."""
    found = [item for item in objects_of(documents) if item.text("kind") == KIND and _is_ours(item)]
    chosen = [item for item in found if not name or item.text("metadata", "name") == name]
    names = ", ".join(sorted(repr(item.text("metadata", "name")) for item in found))
    if len(chosen) == 1:
        return chosen[0]
    if found:
        advice = f"none is called {name!r}" if name and not chosen else "choose one with --name"
        raise InputError(f"{source}: {len(found)} of kind {KIND}: {names}; {advice}")
    versions = " or ".join(_VERSIONS)
    advice = "".join(f"; {kind}: {ADVICE[kind]}" for kind in _advised(documents))
    contents = _contents(documents)
    raise InputError(f"{source}: must contain a {KIND} ({versions}), but {contents}{advice}")


def _advised(documents: Sequence[YamlValue]) -> list[str]:
    kinds = dict.fromkeys(item.text("kind") for item in objects_of(documents))
    return [kind for kind in kinds if kind in ADVICE]


def objects_of(documents: Sequence[YamlValue]) -> Iterator[YamlMapping]:
    """Every object: documents, and what lists of them hold."""
    for document in documents:
        if isinstance(document, YamlMapping) and document.text("kind") in _LISTS:
            yield from (item for item in document.items("items") if isinstance(item, YamlMapping))
        elif isinstance(document, YamlMapping):
            yield document


def _is_ours(item: YamlMapping) -> bool:
    return item.text("apiVersion").startswith(_GROUP)


def _contents(documents: Sequence[YamlValue]) -> str:
    if not documents:
        return "is empty"
    found = [f"{_kind_of(item)} (line {item.place.line})" for item in documents[:_MOST_NAMED]]
    return f"contains {', '.join(found)}{', ...' if documents[_MOST_NAMED:] else ''}"


def _kind_of(item: YamlValue) -> str:
    kind = item.text("kind") if isinstance(item, YamlMapping) else ""
    if not isinstance(item, YamlMapping) or not kind:
        return "an object of unknown kind"
    return f"{item.text('apiVersion')} {kind}".strip()


def config_maps(documents: Sequence[YamlValue]) -> ConfigMaps:
    """The ConfigMaps and Secrets of the file, by name."""
    maps: dict[str, YamlMapping] = {}
    secrets: dict[str, YamlMapping] = {}
    by_kind = {"ConfigMap": maps, "Secret": secrets}
    for item in objects_of(documents):
        name = item.text("metadata", "name")
        if name and item.text("kind") in by_kind:
            by_kind[item.text("kind")][name] = item
    return ConfigMaps(maps, secrets)


def report_others(documents: Sequence[YamlValue], chosen: YamlMapping, ledger: Ledger) -> None:
    """Every object beside the chosen one: left out as a whole."""
    for item in objects_of(documents):
        if item is not chosen:
            kind = item.text("kind") or "object of unknown kind"
            why = KINDS.get(kind, "dsr1 has no use for it")
            ledger.leave(f"{kind} {item.text('metadata', 'name')!r}: {why}", item.place)
    for document in documents:
        if not isinstance(document, YamlMapping):
            ledger.leave(_NO_OBJECT, document.place)
        elif document.text("kind") in _LISTS:
            _around(document, ledger)


def _around(listing: YamlMapping, ledger: Ledger) -> None:
    for key, value in listing.values.items():
        if not (key == "items" and isinstance(value, YamlList)):
            ledger.leave("of the list around the objects", value.place)
            continue
        for item in value.values:
            if isinstance(item, YamlText):
                ledger.leave(_NO_OBJECT, item.place)


def report_version(deployment: YamlMapping, ledger: Ledger) -> None:
    """An unknown version is read like those that are known, and the user is told."""
    version = deployment.values["apiVersion"]
    text = deployment.text("apiVersion")
    if text in _VERSIONS:
        ledger.use("stack", version.place)
    else:
        known = " and ".join(_VERSIONS)
        text = f"apiVersion {quoted(text)}: dsr1 knows {known}; check the recipe with care"
        ledger.ask(text, "", version.place)


def check_backend(spec: YamlMapping, ledger: Ledger) -> None:
    """Raises InputError for a deployment of another engine."""
    backend = spec.get("backendFramework")
    if backend is None:
        return
    if not isinstance(backend, YamlText):
        refuse(backend.place, "the backend is not a text; it must be vllm")
    if backend.text != "vllm":
        refuse(backend.place, f"backend is {backend.text!r}; dsr1 launches only vllm")
    ledger.use("stack", backend.place)
