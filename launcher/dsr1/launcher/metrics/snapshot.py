"""What the servers and agents said, as one snapshot. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields

from dsr1.hosts.protocol.facts.devices import GPU, PATH, RDMA, GpuGauges, RdmaCounters
from dsr1.launcher.health.members import WatchedRank
from dsr1.launcher.health.page import PageLine, parse_page
from dsr1.launcher.health.readings import Readings
from dsr1.launcher.metrics.samples import (
    FrontendSample,
    GpuSample,
    Histogram,
    PortSample,
    RankSample,
    Snapshot,
)
from dsr1.launcher.metrics.series import (
    DROPPED,
    FRONTEND_SERIES,
    ITL,
    RANK_SERIES,
    SERVER_SERIES,
    SUCCESS,
    TTFT,
    WAITING,
)

Table = Mapping[str, tuple[str, Mapping[str, str]]]


def make_snapshot(
    ranks: Sequence[WatchedRank], readings: Readings, time: float, at: float
) -> Snapshot:
    """`time` and `at` as in Snapshot."""
    pages = _pages(readings)
    workers = {rank.worker.process for rank in ranks}
    servers = {rank.worker.process for rank in ranks if rank.worker.url}
    devices = [
        (host, line)
        for host, pairs in readings.asked.items()
        for get, got in pairs
        if get.path == PATH
        for line in parse_page(got.body)
    ]
    return Snapshot(
        time,
        at,
        tuple(_rank_sample(rank, pages) for rank in ranks if rank.worker.process in pages),
        tuple(_frontends(readings, pages, workers - servers)),
        tuple(_gpus(devices)),
        tuple(_ports(devices)),
        tuple(sorted(readings.unread)),
    )


def _pages(readings: Readings) -> dict[str, list[PageLine]]:
    """By process, those that were given."""
    return {
        get.process: parse_page(got.body)
        for pairs in readings.asked.values()
        for get, got in pairs
        if get.path == "/metrics" and got.is_ok
    }


def _rank_sample(rank: WatchedRank, pages: Mapping[str, Sequence[PageLine]]) -> RankSample:
    planned, worker = rank.planned, rank.worker
    page = pages[worker.process]
    own = [line for line in page if line.labels.get("engine") == str(rank.number)]
    values = _read_table(RANK_SERIES, own)
    if "waiting" not in values:
        values |= _read_table({"waiting": (WAITING, {})}, own)
    if rank.index == 0:
        values |= _read_table({"dropped_events": (DROPPED, {})}, page)
    named = (planned.engine, planned.rank, planned.host, worker.process, worker.role)
    return RankSample(*named, **values)  # type: ignore[arg-type]


def _read_table(table: Table, lines: Sequence[PageLine]) -> dict[str, float]:
    """By field, the sum of the lines of its series; a field without a line is left out."""
    found: dict[str, float] = {}
    for field, (name, labels) in table.items():
        for line in lines:
            if line.name == name and labels.items() <= line.labels.items():
                found[field] = found.get(field, 0.0) + line.value
    return found


def _frontends(
    readings: Readings, pages: Mapping[str, Sequence[PageLine]], behind: set[str]
) -> Iterator[FrontendSample]:
    """Every server with a page that isn't a worker `behind` one."""
    hosts = {get.process: host for host, pairs in readings.asked.items() for get, _ in pairs}
    for process, page in pages.items():
        if process not in behind:
            yield _frontend_sample(process, hosts[process], page)


def _frontend_sample(process: str, host: str, page: Sequence[PageLine]) -> FrontendSample:
    values = _read_table(FRONTEND_SERIES, page)
    if not values:
        values = _read_table(SERVER_SERIES, page)
    elif "requests" in values:
        name, _ = FRONTEND_SERIES["requests"]
        well = _read_table({"well": (name, SUCCESS)}, page).get("well", 0.0)
        values["failed"] = values["requests"] - well
    histograms = {"ttft": _histogram(page, TTFT), "itl": _histogram(page, ITL)}
    return FrontendSample(process, host, **values, **histograms)  # type: ignore[arg-type]


def _histogram(page: Sequence[PageLine], names: Sequence[str]) -> Histogram:
    """Of all models and ranks together."""
    buckets = [f"{name}_bucket" for name in names]
    counts: dict[float, float] = {}
    for line in page:
        if line.name in buckets and (bound := _bound(line)) is not None:
            counts[bound] = counts.get(bound, 0.0) + line.value
    bounds = sorted(counts)
    if not bounds or bounds[-1] != float("inf"):
        return Histogram()
    return Histogram(tuple(bounds[:-1]), tuple(counts[bound] for bound in bounds))


def _bound(line: PageLine) -> float | None:
    try:
        return float(line.labels["le"])
    except (KeyError, ValueError):
        return None


HostLines = Sequence[tuple[str, PageLine]]


def _gpus(lines: HostLines) -> Iterator[GpuSample]:
    known = {field.name for field in fields(GpuGauges)}
    for (host, gpu), values in _by_device(lines, GPU, ("gpu",), known).items():
        yield GpuSample(host, gpu, GpuGauges(**values))


def _ports(lines: HostLines) -> Iterator[PortSample]:
    known = {field.name for field in fields(RdmaCounters)}
    for (host, port), values in _by_device(lines, RDMA, ("device", "port"), known).items():
        yield PortSample(host, port, RdmaCounters(**values))


def _by_device(
    lines: HostLines, prefix: str, labels: Sequence[str], known: set[str]
) -> dict[tuple[str, str], dict[str, float]]:
    """By host and device."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for host, line in lines:
        field = line.name.removeprefix(prefix)
        if line.name.startswith(prefix) and field in known:
            device = ":".join(line.labels.get(label, "") for label in labels)
            found.setdefault((host, device), {})[field] = line.value
    return found
