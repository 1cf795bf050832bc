"""What was measured between hosts: which ways are slow or shut, and all of them as a table.
Pure."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import Dsr1Error
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.jobs.orders import FabricResult, RankReport
from dsr1.hosts.transport.jobs import JobResults

CHECK = "net.fabric"
FAR_SLOWER, SLOWER = 0.25, 0.5  # of the median
MOST_AGAIN = 64
LATER, LATER_US = 10, 1000.0  # times the median, and at least
FIX = "Look at its cable, port, switch and route; `dsr1 check --only ib` tells of its adapters."


@dataclass(frozen=True, slots=True)
class LinkMeasurement:
    """From one host to another: Gb/s of all its devices together, microseconds there; or why it
    wasn't measured."""

    sender: str
    receiver: str
    gbps: float = 0.0
    us: float = 0.0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class FabricReport:
    """The hosts that were measured, in order, and every way between them; `strayed` are those that
    no peer can reach, with the addresses that they were to have."""

    hosts: tuple[str, ...]
    ways: tuple[LinkMeasurement, ...]
    strayed: tuple[tuple[str, str], ...] = ()


def read_links(
    hosts: Sequence[str], results: JobResults[FabricResult]
) -> Iterator[LinkMeasurement]:
    """Every way between two hosts, also those of which nothing was told."""
    measured: dict[tuple[str, str], list[RankReport]] = {}
    failed: dict[tuple[str, str], str] = {}
    for host, report in _reports(results):
        link = (host, hosts[report.other or 0])
        if report.gbps is not None:
            measured.setdefault(link, []).append(report)
        else:
            failed.setdefault(link, report.error)
    for pair in itertools.permutations(hosts, 2):
        why = failed.get(pair) or failed.get((pair[1], pair[0]))
        yield _way(*pair, measured.get(pair, []), why or _why(results, *pair))


def _reports(results: JobResults[FabricResult]) -> Iterator[tuple[str, RankReport]]:
    """Of links, with the host whose rank wrote it."""
    for host, result in results.items():
        for report in () if isinstance(result, Dsr1Error) else result.reports:
            if report.other is not None:
                yield host, report


def _way(sender: str, receiver: str, reports: Sequence[RankReport], why: str) -> LinkMeasurement:
    if not reports:
        return LinkMeasurement(sender, receiver, problem=why)
    gbps = sum(report.gbps or 0.0 for report in reports)
    return LinkMeasurement(sender, receiver, gbps, max(report.us or 0.0 for report in reports))


def _why(results: JobResults[FabricResult], *hosts: str) -> str:
    """The first reason that one of both gives."""
    for host in hosts:
        result = results[host]
        if isinstance(result, Dsr1Error):
            return str(result)
        problems = [report.problem for report in result.reports if report.problem]
        if reasons := [*problems, *result.errors]:
            return f"{host}: {reasons[0]}"
    return "nothing was measured in time"


def doubtful_pairs(fabric: FabricReport) -> list[tuple[int, int]]:
    """Pairs of hosts, by number, with a way that isn't as most are: a busy moment may be why. Not
    all of many."""
    usual, place = _usual(fabric.ways), {host: number for number, host in enumerate(fabric.hosts)}
    bad = [way for way in fabric.ways if judge_link(way, usual) != "PASS"]
    numbers = [(place[way.sender], place[way.receiver]) for way in bad]
    return sorted({(min(pair), max(pair)) for pair in numbers})[:MOST_AGAIN]


def better(first: FabricReport, again: FabricReport) -> FabricReport:
    """Each way as it was at its best."""
    seen = {(way.sender, way.receiver): way for way in again.ways if not way.problem}
    ways = (_better(way, seen.get((way.sender, way.receiver))) for way in first.ways)
    return FabricReport(first.hosts, tuple(ways), first.strayed)


def _better(way: LinkMeasurement, again: LinkMeasurement | None) -> LinkMeasurement:
    if again is None or way.problem:
        return again or way
    return LinkMeasurement(
        way.sender, way.receiver, max(way.gbps, again.gbps), min(way.us, again.us)
    )


def judge_fabric(fabric: FabricReport) -> Iterator[Finding]:
    """A host that is slow to most others is one finding; else each slow way is."""
    yield from (_of_strayed(host, address) for host, address in fabric.strayed)
    if not fabric.ways:
        yield from (
            Finding(host, CHECK, "SKIP", "one host", "several hosts", "") for host in fabric.hosts
        )
        return
    usual = _usual(fabric.ways)
    bad = {way: verdict for way in fabric.ways if (verdict := judge_link(way, usual)) != "PASS"}
    slow_hosts = [host for host in fabric.hosts if _is_slow(host, fabric, bad)]
    for host in fabric.hosts:
        yield from _of_host(host, fabric, bad, slow_hosts)


def _of_strayed(host: str, address: str) -> Finding:
    seen = f"not measured: no interface of it has {address}, or the loopback alone"
    fix = "Correct its control_address in the inventory, or what its name resolves to there."
    return Finding(host, CHECK, "UNKNOWN", seen, "an address that its peers can reach", fix)


def _usual(ways: Iterable[LinkMeasurement]) -> LinkMeasurement:
    good = [way for way in ways if not way.problem] or [LinkMeasurement("", "")]
    return LinkMeasurement("", "", median(way.gbps for way in good), median(way.us for way in good))


def judge_link(way: LinkMeasurement, usual: LinkMeasurement) -> str:
    if (
        way.problem
        or way.gbps < FAR_SLOWER * usual.gbps
        or way.us > max(LATER * usual.us, LATER_US)
    ):
        return "FAIL"
    return "WARN" if way.gbps < SLOWER * usual.gbps else "PASS"


def _is_slow(host: str, fabric: FabricReport, bad: Mapping[LinkMeasurement, str]) -> bool:
    """To most of at least two others."""
    touched = {
        end
        for way in bad
        if host in (way.sender, way.receiver)
        for end in (way.sender, way.receiver)
    } - {host}
    return len(touched) > max(1, (len(fabric.hosts) - 1) / 2)


def _of_host(
    host: str, fabric: FabricReport, bad: Mapping[LinkMeasurement, str], slow_hosts: Sequence[str]
) -> Iterator[Finding]:
    own = [way for way in fabric.ways if host in (way.sender, way.receiver)]
    wanted = f"about {_numbers(_usual(fabric.ways))}, the median"
    if host in slow_hosts:
        verdict = min((bad[way] for way in own if way in bad), key=("FAIL", "WARN").index)
        seen = f"slow to most hosts: {_summary(host, own)}{_slowest_way(host, own)}{_failures(own)}"
        yield Finding(host, CHECK, verdict, seen, wanted, FIX)
        return
    slow = _slow_ways(host, fabric, bad, slow_hosts)
    for way in slow:
        seen = f"to {way.receiver}: {way.problem or _numbers(way)}"
        yield Finding(host, CHECK, bad[way], seen, wanted, FIX)
    if not slow:
        yield Finding(host, CHECK, "PASS", _summary(host, own), wanted, "")


def _slow_ways(
    host: str, fabric: FabricReport, bad: Mapping[LinkMeasurement, str], slow_hosts: Sequence[str]
) -> list[LinkMeasurement]:
    """That the host sends over, and that no slow receiver explains."""
    sent = [way for way in bad if way.sender == host]
    return [way for way in sent if not _is_the_hosts(way, fabric, slow_hosts)]


def _is_the_hosts(way: LinkMeasurement, fabric: FabricReport, slow_hosts: Sequence[str]) -> bool:
    """Whether the receiver's slowness says it all: this way isn't far slower than its others."""
    others = _usual(
        other for other in fabric.ways if way.receiver in (other.sender, other.receiver)
    )
    return way.receiver in slow_hosts and not way.gbps < FAR_SLOWER * others.gbps


def _summary(host: str, own: Sequence[LinkMeasurement]) -> str:
    sent = _usual(way for way in own if way.sender == host)
    received = _usual(way for way in own if way.receiver == host)
    return f"sends {_numbers(sent)}, receives {_numbers(received)}"


def _slowest_way(host: str, own: Iterable[LinkMeasurement]) -> str:
    sent = min(
        (way for way in own if way.sender == host and not way.problem),
        key=lambda way: way.gbps,
        default=None,
    )
    return f"; slowest to {sent.receiver}: {_numbers(sent)}" if sent else ""


def _failures(own: Iterable[LinkMeasurement]) -> str:
    lost = [way.problem for way in own if way.problem]
    return f"; {len(lost)} ways failed: {lost[0]}" if lost else ""


def _numbers(way: LinkMeasurement) -> str:
    return f"{way.gbps:.3g} Gb/s in {way.us:.0f} us"


def render_matrix(fabric: FabricReport, most: int = 16) -> str:
    """Rows send, columns receive, Gb/s. Of many hosts only the slowest rows are shown."""
    if not fabric.ways:
        return ""
    cells = {
        (way.sender, way.receiver): "fail" if way.problem else f"{way.gbps:.3g}"
        for way in fabric.ways
    }
    rows = fabric.hosts if len(fabric.hosts) <= most else _slowest(fabric, most)
    width = max(map(len, (*rows, *cells.values()))) + 2
    head = f"{'Gb/s':<{width}}" + "".join(f"{host:>{width}}" for host in rows)
    lines = [
        f"{a:<{width}}" + "".join(f"{cells.get((a, b), '-'):>{width}}" for b in rows) for a in rows
    ]
    left = len(fabric.hosts) - len(rows)
    return "\n".join((head, *lines, *([f"and {left} faster hosts"] if left else ())))


def _slowest(fabric: FabricReport, most: int) -> list[str]:
    def speed(host: str) -> float:
        return sum(way.gbps for way in fabric.ways if host in (way.sender, way.receiver))

    return sorted(fabric.hosts, key=speed)[:most]
