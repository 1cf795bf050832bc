"""Probes, grace periods and shared memory of a service: what they mean in seconds and bytes. Pure."""

from dsr1.launcher.importing.ledger import Ledger
from dsr1.launcher.importing.services import Service
from dsr1.launcher.importing.tree import Fields, Scalar


def startup_seconds(service: Service, ledger: Ledger) -> int | None:
    """How long Kubernetes would wait for a start: the delay, and period times failures."""
    for holder in (service.container, service.fields):
        probe = holder.get("startupProbe")
        if isinstance(probe, Fields):
            ledger.use("timeouts.ready", *(probe.values[k].place for k in _TIMES if isinstance(probe.get(k), Scalar)))
            delay, period, failures = (_number(probe, key) for key in _TIMES)
            return (delay or 0) + (10 if period is None else period) * (3 if failures is None else failures)
    return None


_TIMES = ("initialDelaySeconds", "periodSeconds", "failureThreshold")


def grace_seconds(service: Service, ledger: Ledger) -> int | None:
    found = service.pod.get("terminationGracePeriodSeconds")
    seconds = _number(service.pod, "terminationGracePeriodSeconds")
    if isinstance(found, Scalar) and seconds:
        ledger.use("timeouts.stop", found.place)
    return seconds or None


def note_shared_memory(service: Service, ledger: Ledger) -> None:
    """Bare metal's /dev/shm has one size for all: dsr1 check reads it."""
    for keys in (("sharedMemory", "size"), ("sharedMemorySize",)):
        size = service.fields.get(*keys)
        if isinstance(size, Scalar):
            text = f"{size.text!r} of shared memory: /dev/shm of the hosts must have it; dsr1 check reads it (sys.shm)"
            ledger.leave(text, size.place)
    disabled = service.fields.get("sharedMemory", "disabled")
    if isinstance(disabled, Scalar):
        ledger.leave("shared memory of a container; a host has its /dev/shm", disabled.place)


def _number(fields: Fields, key: str) -> int | None:
    text = fields.text(key).strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 8 else None
