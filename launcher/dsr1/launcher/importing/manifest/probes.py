"""Probes, grace periods and shared memory of a service: what they mean in seconds and bytes.
Pure."""

import re

from dsr1.launcher.importing.manifest.kubernetes import placeholders
from dsr1.launcher.importing.manifest.ledger import Ledger
from dsr1.launcher.importing.manifest.services import GraphService, count_of
from dsr1.launcher.importing.manifest.tree import YamlMapping, YamlText, refuse

_QUANTITY = re.compile(r"\d+(\.\d*)?([numkMGTPE]|[KMGTPE]i|[eE]\d+)?")
"""Bytes, as Kubernetes writes them."""
_TIMES = {"initialDelaySeconds": 0, "periodSeconds": 10, "failureThreshold": 3}
"""With the defaults of Kubernetes."""


def startup_seconds(service: GraphService, ledger: Ledger) -> int | None:
    """How long Kubernetes would wait for a start: the delay, and period times failures."""
    for holder in (service.container, service.fields):
        probe = holder.get("startupProbe")
        if isinstance(probe, YamlMapping):
            given = [probe.values[key] for key in _TIMES if isinstance(probe.get(key), YamlText)]
            ledger.use("timeouts.ready", *(value.place for value in given))
            numbers = {key: _number(probe, key) for key in _TIMES}
            delay, period, failures = (
                default if numbers[key] is None else numbers[key] or 0
                for key, default in _TIMES.items()
            )
            return delay + period * failures
    return None


def grace_seconds(service: GraphService, ledger: Ledger) -> int | None:
    key = "terminationGracePeriodSeconds"
    found, seconds = service.pod.get(key), _number(service.pod, key)
    if isinstance(found, YamlText) and seconds:
        ledger.use("timeouts.stop", found.place)
    return seconds or None


def note_shared_memory(service: GraphService, ledger: Ledger) -> None:
    """Bare metal's /dev/shm has one size for all: dsr1 check reads it."""
    for keys in (("sharedMemory", "size"), ("sharedMemorySize",)):
        size = service.fields.get(*keys)
        if isinstance(size, YamlText):
            _note_size(size, ledger)
    disabled = service.fields.get("sharedMemory", "disabled")
    if isinstance(disabled, YamlText):
        ledger.leave("shared memory of a container; a host has its /dev/shm", disabled.place)


def _note_size(size: YamlText, ledger: Ledger) -> None:
    if not _QUANTITY.fullmatch(size.text) and not placeholders(size.text):
        refuse(size.place, f"shared memory is {size.text!r}; it must be a size such as 80Gi")
    text = f"{size.text!r} of shared memory: the hosts' /dev/shm must have it (check sys.shm)"
    ledger.leave(text, size.place)


def _number(fields: YamlMapping, key: str) -> int | None:
    """None where nothing stands, or what something else fills in. Raises InputError that names the
    place."""
    found = fields.get(key)
    if found is None or (isinstance(found, YamlText) and placeholders(found.text)):
        return None
    return count_of(found, key)
