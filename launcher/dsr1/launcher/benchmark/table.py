"""Points as rows of a table, on a terminal and in a report. Pure."""

from collections.abc import Iterator

from dsr1.hosts.inventory.names import fold_numbers
from dsr1.launcher.benchmark.point import BenchPoint, Quantiles

HEADS = (
    *("AT ONCE", "REQ/S", "OUT TOK/S", "/GPU", "/USER", "TOTAL TOK/S"),
    *("TTFT P50", "P99", "ITL P50", "P99", "E2E P50", "P99", "GOOD", "FAILED"),
)


def point_cells(one: BenchPoint) -> tuple[str, ...]:
    """Under HEADS; times in ms."""
    return tuple(_cells(one))


def _cells(one: BenchPoint) -> Iterator[str]:
    load = one.workload
    yield str(load.concurrency or "") if load.rate is None else f"{load.rate:g}/s"
    yield f"{one.requests_s:.2f}"
    yield f"{one.output_tokens_s:.1f}"
    yield _or_dash(one.output_tokens_s_gpu)
    yield _or_dash(one.output_tokens_s_user)
    yield f"{one.total_tokens_s:.1f}"
    for times in (one.ttft_ms, one.itl_ms, one.e2e_ms):
        yield from _two(times)
    yield f"{one.goodput.share:.0%}" if one.goodput else "-"
    yield f"{one.failed}/{one.sent}"


def _two(times: Quantiles | None) -> tuple[str, str]:
    return (f"{times.p50:.1f}", f"{times.p99:.1f}") if times else ("-", "-")


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def head_line(one: BenchPoint) -> str:
    """What all points of a result have in common."""
    cpus = f" on CPUs {fold_numbers(one.source_cpus)}" if one.source_cpus else ""
    what = one.workload.requests_are
    version = f" {one.driver_version}" if one.driver_version else ""
    return f"{one.model} at {one.url}: {what}; {one.driver}{version} from {one.source}{cpus}"
