"""Probes, grace periods and shared memory of a service: what they mean in seconds and bytes.
Pure."""

import re

from dsr1.hosts.errors import InputError
from dsr1.launcher.importing.manifest.kubernetes import placeholders
from dsr1.launcher.importing.manifest.ledger import Ledger
from dsr1.launcher.importing.manifest.services import Service, count_of
from dsr1.launcher.importing.manifest.tree import Fields, Scalar

_QUANTITY = re.compile(r"\d+(\.\d*)?([numkMGTPE]|[KMGTPE]i|[eE]\d+)?")
"""Bytes, as Kubernetes writes them."""


def startup_seconds(service: Service, source: str, ledger: Ledger) -> int | None:
    """How long Kubernetes would wait for a start: the delay, and period times failures."""
    for holder in (service.container, service.fields):
        probe = holder.get("startupProbe")
        if isinstance(probe, Fields):
            ledger.use(
                "timeouts.ready",
                *(probe.values[k].place for k in _TIMES if isinstance(probe.get(k), Scalar)),
            )
            delay, period, failures = (_number(probe, key, source) for key in _TIMES)
            return (delay or 0) + (10 if period is None else period) * (
                3 if failures is None else failures
            )
    return None


_TIMES = ("initialDelaySeconds", "periodSeconds", "failureThreshold")


def grace_seconds(service: Service, source: str, ledger: Ledger) -> int | None:
    found = service.pod.get("terminationGracePeriodSeconds")
    seconds = _number(service.pod, "terminationGracePeriodSeconds", source)
    if isinstance(found, Scalar) and seconds:
        ledger.use("timeouts.stop", found.place)
    return seconds or None


def note_shared_memory(service: Service, source: str, ledger: Ledger) -> None:
    """Bare metal's /dev/shm has one size for all: dsr1 check reads it."""
    for keys in (("sharedMemory", "size"), ("sharedMemorySize",)):
        size = service.fields.get(*keys)
        if isinstance(size, Scalar):
            if not _QUANTITY.fullmatch(size.text) and not placeholders(size.text):
                where = f"{source}:{size.place.line}: {size.place}"
                raise InputError(
                    f"{where}: shared memory is {size.text!r}; a size such as 80Gi is wanted"
                )
            text = (
                f"{size.text!r} of shared memory: /dev/shm of the hosts must have it; dsr1 check"
                " reads it (sys.shm)"
            )
            ledger.leave(text, size.place)
    disabled = service.fields.get("sharedMemory", "disabled")
    if isinstance(disabled, Scalar):
        ledger.leave("shared memory of a container; a host has its /dev/shm", disabled.place)


def _number(fields: Fields, key: str, source: str) -> int | None:
    """None where nothing stands, or what something else fills in. Raises InputError that names the
    place."""
    found = fields.get(key)
    if found is None or (isinstance(found, Scalar) and placeholders(found.text)):
        return None
    return count_of(found, key, source)
