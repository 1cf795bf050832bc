"""The variables of a container, through all of Kubernetes' layers; what only the cluster knows has
no value."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from dsr1.hosts.errors import InputError
from dsr1.launcher.importing.manifest.command import short
from dsr1.launcher.importing.manifest.kubernetes import expand_kubernetes
from dsr1.launcher.importing.manifest.ledger import Ledger
from dsr1.launcher.importing.manifest.tree import Fields, Place, Scalar, Value

_MOST = 2**20  # bytes of one process's variables; Linux takes two mebibytes with the arguments


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable. `value` is None where only the cluster knows it, and `origin` says from
    where."""

    name: str
    value: str | None
    places: tuple[Place, ...]
    origin: str = ""


@dataclass(frozen=True, slots=True)
class ConfigMaps:
    """The ConfigMaps and Secrets that stand in the same file, which is `source`, by name."""

    source: str
    maps: Mapping[str, Fields] = field(default_factory=dict)
    secrets: Mapping[str, Fields] = field(default_factory=dict)


def read_settings(
    layers: Iterable[Fields],
    files: ConfigMaps,
    ledger: Ledger,
    outer: Mapping[str, Setting] | None = None,
) -> dict[str, Setting]:
    """All variables of the layers; a later one of the same name wins, and the earlier is noted.
    `outer` are those of the whole deployment, which values may speak of.
    """
    found: dict[str, Setting] = {}
    plain, room = plain_values(outer or {}), _MOST
    for layer in layers:
        for setting in _of_layer(layer, files, ledger):
            before = found.get(setting.name)
            if before:
                ledger.leave(f"{before.name}: a later value takes its place", *before.places)
            found[setting.name] = _expanded(setting, plain, files.source)
            plain |= plain_values({setting.name: found[setting.name]})
            room -= len(found[setting.name].value or "")
            if room < 0:
                _refuse(
                    setting,
                    f"the variables up to {short(setting.name)} take more than {_MOST} bytes",
                    files.source,
                )
    return found


def plain_values(settings: Mapping[str, Setting]) -> dict[str, str]:
    return {name: setting.value for name, setting in settings.items() if setting.value is not None}


def _expanded(setting: Setting, before: Mapping[str, str], source: str) -> Setting:
    if setting.value is None or "$" not in setting.value:
        return setting
    try:
        value = expand_kubernetes(setting.value, before)
    except ValueError as error:
        _refuse(setting, f"{short(setting.name)}: {error}", source)
    return Setting(setting.name, value, setting.places, setting.origin)


def _refuse(setting: Setting, why: str, source: str) -> NoReturn:
    place = setting.places[0]
    raise InputError(f"{source}:{place.line}: {place}: {why}")


def _of_layer(layer: Fields, files: ConfigMaps, ledger: Ledger) -> Iterator[Setting]:
    secret = layer.get("envFromSecret")
    if isinstance(secret, Scalar):
        _ask_for_secret(secret.text, secret.place, files, ledger)
    for item in layer.items("envFrom"):
        if isinstance(item, Fields):
            yield from _from_source(item, files, ledger)
    for key in ("envs", "env"):
        yield from _listed(layer.get(key), files, ledger)


def _listed(value: Value | None, files: ConfigMaps, ledger: Ledger) -> Iterator[Setting]:
    """A list of name and value; a mapping of them is read too."""
    if isinstance(value, Fields):
        pairs = ((name, item) for name, item in value.values.items() if isinstance(item, Scalar))
        yield from (
            Setting(name, "" if item.is_null else item.text, (item.place,)) for name, item in pairs
        )
        return
    for item in getattr(value, "values", ()):
        called = item.get("name") if isinstance(item, Fields) else None
        if isinstance(item, Fields) and isinstance(called, Scalar):
            yield _variable(called, item, files, ledger)


def _variable(name: Scalar, item: Fields, files: ConfigMaps, ledger: Ledger) -> Setting:
    source = item.get("valueFrom")
    if source is None:
        value = item.values.get("value")
        if not isinstance(value, Scalar):
            return Setting(name.text, "", (name.place,))
        return Setting(name.text, "" if value.is_null else value.text, (name.place, value.place))
    places = (name.place, source.place)
    reference = (
        source.fields("configMapKeyRef") if isinstance(source, Fields) else Fields(source.place, {})
    )
    found = files.maps.get(reference.text("name"))
    data = found.get("data", reference.text("key")) if found else None
    if isinstance(data, Scalar):
        ledger.use(f"env.{name.text}", data.place)
        return Setting(name.text, data.text, places)
    return Setting(name.text, None, places, _origin(source))


def _origin(source: Value) -> str:
    """What the manifest takes a value from, in words."""
    if not isinstance(source, Fields):
        return "an unknown source"
    for key, what in (("secretKeyRef", "secret"), ("configMapKeyRef", "config map")):
        reference = source.fields(key)
        if reference.values:
            return f"key {short(reference.text('key'))} of {what} {short(reference.text('name'))}"
    field_path = source.text("fieldRef", "fieldPath") or source.text("resourceFieldRef", "resource")
    return (
        f"the pod's {field_path}" if field_path else ", ".join(source.values) or "an unknown source"
    )


def _from_source(item: Fields, files: ConfigMaps, ledger: Ledger) -> Iterator[Setting]:
    prefix, name = item.text("prefix"), item.text("configMapRef", "name")
    data = files.maps[name].fields("data") if name in files.maps else Fields(item.place, {})
    if item.text("secretRef", "name"):
        _ask_for_secret(item.text("secretRef", "name"), item.place, files, ledger)
    elif not data.values:
        ledger.ask(f"the variables of config map {short(name)}", "env", item.place)
    else:
        ledger.use("env", item.place)
    for key, text in data.values.items():
        if isinstance(text, Scalar):
            yield Setting(prefix + key, text.text, (text.place,))


def _ask_for_secret(name: str, place: Place, files: ConfigMaps, ledger: Ledger) -> None:
    secret = files.secrets.get(name)
    keys = [*secret.fields("stringData").values, *secret.fields("data").values] if secret else []
    known = f" ({', '.join(map(short, keys))})" if keys else ""
    known = known or (
        " (HF_TOKEN, for models of the hub that are not open)" if "hf" in name.lower() else ""
    )
    wish = "set them on the hosts, for example from a file that runtime.setup reads"
    ledger.ask(f"the variables of secret {short(name)}{known}: {wish}", "env", place)
