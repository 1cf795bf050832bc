"""Measures a deployment under one load: drives it from a host, judges every request, and makes a
point of what is left."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import Dsr1Error, HostError, LaunchFailed
from dsr1.hosts.protocol.jobs.messages import JobProgress
from dsr1.hosts.protocol.jobs.orders import DRIVE, DriveOrder, DriveResult
from dsr1.hosts.transport.base import Transport
from dsr1.hosts.transport.jobs import run_job_on_all
from dsr1.launcher.benchmark.drivers import BenchDriver, BenchTarget
from dsr1.launcher.benchmark.judging import (
    RequestTimes,
    Throughput,
    Window,
    count_failures,
    goodput,
    judge_requests,
    make_window,
    quantiles_ms,
    refuse_failures,
    throughput,
)
from dsr1.launcher.benchmark.point import BenchPoint, ServerWindow, Sla, WorkloadShown
from dsr1.launcher.benchmark.workload import Workload, check_workload

OnDriveProgress = Callable[[JobProgress], None]
ReadServers = Callable[[], Callable[[], ServerWindow | None]]
"""Called before the driver begins; what it gives is called after its end."""
LENGTH_OFF, CACHED, BUNCHED = 0.05, 0.05, 0.05


def quiet(progress: JobProgress) -> None:
    """For those who show nothing."""


def unread() -> Callable[[], ServerWindow | None]:
    """For servers that nobody asks."""
    return lambda: None


@dataclass(frozen=True, slots=True)
class Criteria:
    """`max_errors`: the share of requests that may fail in a result. `within_s`: how long a driver
    may take."""

    sla: Sla | None = None
    max_errors: float = 0.01
    within_s: float = 3600.0


DEFAULTS = Criteria()


@dataclass(frozen=True, slots=True)
class LoadSource:
    """The host that load comes from. `cpus` that the driver runs on; none: they are chosen, away
    from the processes of the run `run_id`."""

    transport: Transport
    host: str
    run_id: str = ""
    cpus: tuple[int, ...] = ()


def measure(
    source: LoadSource,
    target: BenchTarget,
    driver: BenchDriver,
    workload: Workload,
    criteria: Criteria = DEFAULTS,
    show: OnDriveProgress = quiet,
    read_servers: ReadServers = unread,
) -> BenchPoint:
    """Nothing of the driver is left, whatever ends this. InputError: such a load can't be sent;
    PointRefused: too many requests failed; LaunchFailed: the driver did, or was interrupted."""
    check_workload(workload, target.max_model_len)
    order = driver.order(target, workload, criteria.within_s, source.run_id, source.cpus)
    finish, began = read_servers(), datetime.now(UTC)
    result = drive(source, order, show)
    server = finish()
    rows = judge_requests(result.requests, workload)
    failures = count_failures(rows, workload.total - len(rows))
    refuse_failures(failures, workload.total, criteria.max_errors, driver.name)
    if result.ended:
        raise LaunchFailed(f"{source.host}: {driver.name}: {result.ended}")
    at = datetime.fromtimestamp(result.began, UTC) if result.began else began
    measured = Measured(at, rows, result.cpus, failures, server)
    return make_point(source.host, target, driver, workload, criteria.sla, measured)


def drive(source: LoadSource, order: DriveOrder, show: OnDriveProgress) -> DriveResult:
    """HostError, LaunchFailed: it did not come to an end, in words."""
    results = run_job_on_all(
        source.transport,
        DRIVE,
        {source.host: order},
        lambda _, progress: show(progress),
        interrupted="interrupted: the driver was ended, and nothing was measured",
    )
    result = results[source.host]
    if isinstance(result, HostError):
        raise result
    if isinstance(result, Dsr1Error):
        raise type(result)(f"{order.driver} on {result}{_remedy(str(result))}")
    return result


def _remedy(words: str) -> str:
    """Empty: none is known."""
    if "No module named 'pandas'" in words:
        return (
            ": it reads datasets with pandas; install that into the runtime, or use another driver"
        )
    return ""


@dataclass(frozen=True, slots=True)
class Measured:
    """What came back of a driver that ended well."""

    at: datetime
    rows: Sequence[RequestTimes]
    cpus: tuple[int, ...]
    failures: dict[str, int]
    server: ServerWindow | None


def make_point(
    source: str,
    target: BenchTarget,
    driver: BenchDriver,
    workload: Workload,
    sla: Sla | None,
    measured: Measured,
) -> BenchPoint:
    """Pure. PointRefused: nothing is left to count."""
    window = make_window(measured.rows, workload)
    rates, counted = throughput(measured.rows, window), window.counted
    gaps = quantiles_ms([row.gap_s for row in counted if row.gap_s is not None])
    first, whole = (quantiles_ms([*times]) for times in _times(window))
    assert first is not None
    assert whole is not None
    total = rates.tokens_in + rates.tokens_out
    return BenchPoint(
        driver=driver.name,
        driver_version=driver.version,
        model=target.model,
        url=target.url,
        source=source,
        source_cpus=measured.cpus,
        at=measured.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        workload=shown_workload(workload),
        gpus=target.gpus,
        seconds=window.seconds,
        sent=workload.total,
        counted=len(counted),
        failed=sum(measured.failures.values()),
        failures=measured.failures,
        tokens_in=_mean([row.tokens_in for row in counted]),
        tokens_out=_mean([row.tokens_out for row in counted]),
        ttft_ms=first,
        itl_ms=gaps,
        e2e_ms=whole,
        requests_s=rates.requests,
        output_tokens_s=rates.tokens_out,
        total_tokens_s=total,
        output_tokens_s_gpu=rates.tokens_out / target.gpus if target.gpus else None,
        total_tokens_s_gpu=total / target.gpus if target.gpus else None,
        output_tokens_s_user=1000 / gaps.p50 if gaps and gaps.p50 else None,
        goodput=goodput(window, sla),
        server=measured.server,
        notes=tuple(_notes(workload, window, rates, measured)),
    )


def _times(window: Window) -> tuple[list[float], list[float]]:
    return [row.first_s for row in window.counted], [row.whole_s for row in window.counted]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def shown_workload(one: Workload) -> WorkloadShown:
    """As it was asked for."""
    return WorkloadShown(
        isl=one.isl,
        osl=one.osl,
        concurrency=one.concurrency,
        rate=one.rate,
        requests=one.counted,
        warmup=one.warmup,
        cooldown=one.cooldown,
        seed=one.seed,
        file=f"{one.file.kind} {one.file.path}" if one.file else "",
    )


def _notes(workload: Workload, window: Window, rates: Throughput, measured: Measured) -> list[str]:
    """What makes a number mean something else than its name says."""
    found = []
    prompt = _mean([row.tokens_in for row in window.counted])
    if workload.isl and abs(prompt - workload.isl) > max(1.0, LENGTH_OFF * workload.isl):
        found.append(
            f"the server counted {prompt:.0f} tokens a prompt, not {workload.isl}: the driver's"
            " text is tokenized otherwise than it was made"
        )
    hits = measured.server.prefix_hits if measured.server else None
    if workload.file is None and hits is not None and hits > CACHED:
        found.append(
            f"{hits:.0%} of the prompts' tokens came from the prefix cache: these prompts were sent"
            " before; another --seed makes others"
        )
    bunched = sum(row.is_bunched for row in window.counted) / len(window.counted)
    if bunched > BUNCHED:
        found.append(
            f"{bunched:.0%} of the answers arrived in one piece: their ITL means nothing; the"
            " driver or the frontend lacked CPU"
        )
    if not measured.cpus:
        found.append("the driver shares the CPUs of its host with whatever else runs there")
    if workload.rate and rates.requests < workload.rate * 0.9 and not workload.file:
        found.append(f"{rates.requests:.3g} requests/s were answered, of {workload.rate:g} sent")
    return found
