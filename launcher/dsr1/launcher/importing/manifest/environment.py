"""The variables of a container, through all of Kubernetes' layers; what only the cluster knows has
no value."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace

from dsr1.hosts.dataclass import dataclass
from dsr1.launcher.importing.manifest.kubernetes import expand_kubernetes
from dsr1.launcher.importing.manifest.ledger import Ledger
from dsr1.launcher.importing.manifest.tree import (
    Place,
    YamlMapping,
    YamlText,
    YamlValue,
    refuse,
)
from dsr1.launcher.importing.shell.secrecy import quoted

_MOST = 2**20  # bytes of one process's variables; Linux takes two mebibytes with the arguments


@dataclass(frozen=True, slots=True)
class ContainerVariable:
    """One variable. `value` is None where only the cluster knows it, and `origin` says from
    where."""

    name: str
    value: str | None
    places: tuple[Place, ...]
    origin: str = ""


@dataclass(frozen=True, slots=True)
class ConfigMaps:
    """The ConfigMaps and Secrets of the same file, by name."""

    maps: Mapping[str, YamlMapping] = field(default_factory=dict)
    secrets: Mapping[str, YamlMapping] = field(default_factory=dict)


def read_variables(
    layers: Iterable[YamlMapping],
    files: ConfigMaps,
    ledger: Ledger,
    outer: Mapping[str, ContainerVariable] | None = None,
) -> dict[str, ContainerVariable]:
    """All variables of the layers; a later one of the same name wins, and the earlier is noted.
    `outer` are those of the whole deployment, which values may speak of.
    """
    found: dict[str, ContainerVariable] = {}
    plain, room = plain_values(outer or {}), _MOST
    for layer in layers:
        for variable in _of_layer(layer, files, ledger):
            name, before = variable.name, found.get(variable.name)
            if before:
                ledger.leave(f"{name}: a later value takes its place", *before.places)
            found[name] = _expanded(variable, plain)
            plain |= plain_values({name: found[name]})
            room -= len(found[name].value or "")
            if room < 0:
                text = f"the variables up to {quoted(name)} take more than {_MOST} bytes"
                refuse(variable.places[0], text)
    return found


def plain_values(variables: Mapping[str, ContainerVariable]) -> dict[str, str]:
    return {
        name: variable.value for name, variable in variables.items() if variable.value is not None
    }


def _expanded(variable: ContainerVariable, before: Mapping[str, str]) -> ContainerVariable:
    if variable.value is None or "$" not in variable.value:
        return variable
    try:
        return replace(variable, value=expand_kubernetes(variable.value, before))
    except ValueError as error:
        refuse(variable.places[0], f"{quoted(variable.name)}: {error}")


def _of_layer(layer: YamlMapping, files: ConfigMaps, ledger: Ledger) -> Iterator[ContainerVariable]:
    secret = layer.get("envFromSecret")
    if isinstance(secret, YamlText):
        _ask_for_secret(secret.text, secret.place, files, ledger)
    for item in layer.items("envFrom"):
        if isinstance(item, YamlMapping):
            yield from _from_source(item, files, ledger)
    for key in ("envs", "env"):
        yield from _listed(layer.get(key), files, ledger)


def _listed(
    value: YamlValue | None, files: ConfigMaps, ledger: Ledger
) -> Iterator[ContainerVariable]:
    """A list of name and value; a mapping of them is read too."""
    if isinstance(value, YamlMapping):
        pairs = ((name, item) for name, item in value.values.items() if isinstance(item, YamlText))
        yield from (
            ContainerVariable(name, "" if item.is_null else item.text, (item.place,))
            for name, item in pairs
        )
        return
    for item in getattr(value, "values", ()):
        called = item.get("name") if isinstance(item, YamlMapping) else None
        if isinstance(item, YamlMapping) and isinstance(called, YamlText):
            yield _variable(called, item, files, ledger)


def _variable(
    name: YamlText, item: YamlMapping, files: ConfigMaps, ledger: Ledger
) -> ContainerVariable:
    source = item.get("valueFrom")
    if source is None:
        value = item.values.get("value")
        if not isinstance(value, YamlText):
            return ContainerVariable(name.text, "", (name.place,))
        return ContainerVariable(
            name.text, "" if value.is_null else value.text, (name.place, value.place)
        )
    places = (name.place, source.place)
    reference = (
        source.fields("configMapKeyRef")
        if isinstance(source, YamlMapping)
        else YamlMapping(source.place, {})
    )
    found = files.maps.get(reference.text("name"))
    data = found.get("data", reference.text("key")) if found else None
    if isinstance(data, YamlText):
        ledger.use(f"env.{name.text}", data.place)
        return ContainerVariable(name.text, data.text, places)
    return ContainerVariable(name.text, None, places, _origin(source))


def _origin(source: YamlValue) -> str:
    """What the manifest takes a value from, in words."""
    if not isinstance(source, YamlMapping):
        return "an unknown source"
    for key, what in (("secretKeyRef", "secret"), ("configMapKeyRef", "config map")):
        reference = source.fields(key)
        if reference.values:
            return f"key {quoted(reference.text('key'))} of {what} {quoted(reference.text('name'))}"
    field_path = source.text("fieldRef", "fieldPath") or source.text("resourceFieldRef", "resource")
    return (
        f"the pod's {field_path}" if field_path else ", ".join(source.values) or "an unknown source"
    )


def _from_source(
    item: YamlMapping, files: ConfigMaps, ledger: Ledger
) -> Iterator[ContainerVariable]:
    prefix, name = item.text("prefix"), item.text("configMapRef", "name")
    data = files.maps[name].fields("data") if name in files.maps else YamlMapping(item.place, {})
    if item.text("secretRef", "name"):
        _ask_for_secret(item.text("secretRef", "name"), item.place, files, ledger)
    elif not data.values:
        ledger.ask(f"the variables of config map {quoted(name)}", "env", item.place)
    else:
        ledger.use("env", item.place)
    for key, text in data.values.items():
        if isinstance(text, YamlText):
            yield ContainerVariable(prefix + key, text.text, (text.place,))


def _ask_for_secret(name: str, place: Place, files: ConfigMaps, ledger: Ledger) -> None:
    secret = files.secrets.get(name)
    keys = [*secret.fields("stringData").values, *secret.fields("data").values] if secret else []
    known = f" ({', '.join(map(quoted, keys))})" if keys else ""
    if not known and "hf" in name.lower():
        known = " (HF_TOKEN, for gated models)"
    advice = "set them on the hosts, for example in a file that runtime.setup sources"
    ledger.ask(f"the variables of secret {quoted(name)}{known}: {advice}", "env", place)
