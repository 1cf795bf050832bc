"""Counters of GPUs and RDMA ports, as lines of /metrics. Runs in a child: a call into a sick driver
may never return."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dsr1.hosts.agent.devices.places import DRIVER, RDMA
from dsr1.hosts.agent.facts.fabric.adapters import COUNTERS
from dsr1.hosts.agent.facts.gpu.nvml import (
    CORRECTED,
    GPU,
    LINK_ERRORS,
    LINKS,
    SENSOR,
    SM_CLOCK,
    UNCORRECTED,
    VOLATILE,
    NvmlReader,
    NvmlReading,
    open_nvml,
)
from dsr1.hosts.agent.facts.reading.sysfs import names_in, parse_whole, read_text
from dsr1.hosts.protocol.facts import devices
from dsr1.hosts.protocol.facts.fact import FactValue

NVLINK_SENT, NVLINK_RECEIVED, ALL_LINKS = 138, 139, 0xFFFFFFFF  # NVML_FI_DEV_NVLINK_THROUGHPUT_DATA
WORD_BYTES = 4  # port_xmit_data counts words


def _same(value: Any) -> Any:
    return value


def _from_milli(value: Any) -> Any:
    return value / 1000


GAUGES: Mapping[str, NvmlReading] = {
    "memory_used_bytes": GPU["memory_used"],
    "memory_total_bytes": GPU["memory"],
    "power_w": ("nvmlDeviceGetPowerUsage", (), _from_milli),
    "power_limit_w": ("nvmlDeviceGetEnforcedPowerLimit", (), _from_milli),
    "temperature_c": ("nvmlDeviceGetTemperature", (SENSOR,), _same),
    "sm_clock_mhz": ("nvmlDeviceGetClockInfo", (SM_CLOCK,), _same),
    "throttle": GPU["throttle"],
    "busy_percent": ("nvmlDeviceGetUtilizationRates", (), lambda value: value.gpu),
    "ecc_corrected": ("nvmlDeviceGetTotalEccErrors", (CORRECTED, VOLATILE), _same),
    "ecc_uncorrected": ("nvmlDeviceGetTotalEccErrors", (UNCORRECTED, VOLATILE), _same),
    "pcie_replays": GPU["pcie_replays"],
}


def device_lines(root: Path, with_links: bool) -> Iterator[str]:
    """Ports first: sysfs hangs more seldom than a driver. `with_links`: at last, the errors of
    NVLink's links, too, whose counters take the driver as long as all else six times over."""
    yield from port_lines(root / RDMA)
    if (root / DRIVER).is_dir():
        nvml = open_nvml()
        gpus = range(nvml.nvmlDeviceGetCount())
        for read in (gpu_lines, link_lines) if with_links else (gpu_lines,):
            for index in gpus:
                yield from read(nvml, index)


def gpu_lines(nvml: Any, index: int) -> Iterator[str]:
    """What NVML gives; a GPU that fell off the bus has none."""
    asking = NvmlReader(nvml)
    try:
        gpu = nvml.nvmlDeviceGetHandleByIndex(index)
    except nvml.NVMLError:
        return
    found = asking.table(GAUGES, gpu) | {
        "nvlink_sent_kib": asking.of("sent", partial(_link_count, nvml, gpu, NVLINK_SENT)),
        "nvlink_received_kib": asking.of("got", partial(_link_count, nvml, gpu, NVLINK_RECEIVED)),
    }
    yield from _lines(devices.GPU, found, f'gpu="{index}"')


def link_lines(nvml: Any, index: int) -> Iterator[str]:
    def errors() -> int:
        return _link_errors(nvml, nvml.nvmlDeviceGetHandleByIndex(index))

    found = {"nvlink_errors": NvmlReader(nvml).of("errors", errors)}
    yield from _lines(devices.GPU, found, f'gpu="{index}"')


def _link_count(nvml: Any, gpu: Any, field: int) -> int:
    """Of all its links together."""
    (value,) = nvml.nvmlDeviceGetFieldValues(gpu, [(field, ALL_LINKS)])
    if value.nvmlReturn != 0:
        raise nvml.NVMLError(value.nvmlReturn)
    return int(value.value.ullVal)


def _link_errors(nvml: Any, gpu: Any) -> int:
    """Of the links that are active."""
    links = [link for link in range(LINKS) if _is_active(nvml, gpu, link)]
    ask = nvml.nvmlDeviceGetNvLinkErrorCounter
    return sum(int(ask(gpu, link, code)) for link in links for code in LINK_ERRORS.values())


def _is_active(nvml: Any, gpu: Any, link: int) -> bool:
    """Some Hoppers have fewer links."""
    try:
        return bool(nvml.nvmlDeviceGetNvLinkState(gpu, link))
    except nvml.NVMLError:
        return False


def port_lines(folder: Path) -> Iterator[str]:
    for device in names_in(folder):
        for port in names_in(folder / device / "ports"):
            found = _port_counts(folder / device / "ports" / port)
            yield from _lines(devices.RDMA, found, f'device="{device}",port="{port}"')


def _port_counts(port: Path) -> dict[str, FactValue]:
    def count(folder: str, name: str) -> int | None:
        return parse_whole(read_text(port / folder / name))

    sent, received = (count("counters", f"port_{way}_data") for way in ("xmit", "rcv"))
    errors = [count(folder, name) for folder, names in COUNTERS.items() for name in names]
    known = [error for error in errors if error is not None]
    return {
        "sent_bytes": None if sent is None else sent * WORD_BYTES,
        "received_bytes": None if received is None else received * WORD_BYTES,
        "errors": sum(known) if known else None,
    }


def _lines(prefix: str, values: Mapping[str, FactValue], labels: str) -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, int | float):
            yield f"{prefix}{name}{{{labels}}} {value}"
