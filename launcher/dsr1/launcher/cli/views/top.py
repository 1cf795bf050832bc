"""What a person sees of a run that serves: a screen of lines, the worst first."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.inventory.names import counted
from dsr1.launcher.cli.views.health import STYLES
from dsr1.launcher.health.verdicts import FAILED, HEALTHY, SUSPECT
from dsr1.launcher.metrics.loads import DeploymentView, EngineLoad, HostLoad, Load, RankLoad
from dsr1.launcher.metrics.rates import Value
from dsr1.launcher.metrics.words import show_number, show_seconds, show_share

BARS = "▁▂▃▄▅▆▇█"
MARKS = {FAILED: "!", SUSPECT: "?"}
KEYS = "q quit  e engine  h host  a all"
MOST_ENGINES, TREND = 3, 30


@dataclass(frozen=True, slots=True)
class TopFrame:
    """What a screen says beside the view. `age_s`: of what it shows."""

    run: str
    phase: str
    age_s: float
    note: str = ""
    only: str = ""


def top_lines(frame: TopFrame, view: DeploymentView, height: int | None = None) -> list[Text]:
    """At most `height` lines; what has no room is counted in the last."""
    head = [Text(line) for line in _head(frame, view)]
    engines = [Text(_engine_header(), style="bold"), *_engine_lines(view.engines)]
    lines = [*head, *engines, Text(_host_header(), style="bold")]
    room = len(view.hosts) if height is None else max(0, height - len(lines))
    shown = view.hosts if len(view.hosts) <= room else view.hosts[: max(0, room - 1)]
    lines += [_host_line(row) for row in shown]
    if len(shown) < len(view.hosts):
        lines.append(Text(f"and {len(view.hosts) - len(shown)} more hosts that are better off"))
    return lines


def _head(frame: TopFrame, view: DeploymentView) -> Iterator[str]:
    one, all_, ranks = view.service, view.load, sum(row.ranks for row in view.engines)
    only = f", {frame.only} alone" if frame.only else ""
    note = f"; {frame.note}" if frame.note else ""
    yield (
        f"{frame.run}: {frame.phase}, {counted(len(view.hosts), 'host')},"
        f" {counted(ranks, 'rank')}{only};"
        f" read {frame.age_s:.0f} s ago{note}"
    )
    yield (
        f"tokens/s  in {show_number(one.tokens_in)}  out {show_number(one.tokens_out)}"
        f"  per GPU {show_number(one.out_per_gpu)}  per user {show_number(one.out_per_user)}"
    )
    yield (
        f"requests  running {show_number(all_.running)}  waiting for room"
        f" {show_number(all_.waiting)}, for a transfer {show_number(all_.deferred)}"
        f"  done/s {show_number(one.requests)}  failed/s {show_number(one.failed)}"
    )
    yield (
        f"latency   first token p50 {show_seconds(one.ttft_p50)} p95 {show_seconds(one.ttft_p95)}"
        f"  between tokens p50 {show_seconds(one.itl_p50)} p95 {show_seconds(one.itl_p95)}"
    )
    yield (
        f"cache     KV {show_share(all_.kv_usage)}  prefix hits {show_share(all_.prefix_hits)}"
        f"  router hits {show_share(one.router_hits)}"
        f"  preemptions/s {show_number(all_.preemptions)}"
        f"  NIXL {show_number(all_.nixl_bytes)}B/s, {show_number(all_.nixl_failed)} failed"
    )
    yield (
        f"balance   busiest/mean {show_number(all_.imbalance)}  requests a rank: prefill"
        f" {show_number(one.prefill_load)}, decode {show_number(one.decode_load)}"
    )
    yield (
        f"trend     out {sparkline(view.trend.tokens_out)}"
        f"  waiting {sparkline(view.trend.waiting)}  KV {sparkline(view.trend.kv_usage, 1.0)}"
    )


COLUMNS = "{:>7} {:>7} {:>5} {:>8} {:>8} {:>6}"


def _load_cells(load: Load) -> str:
    return COLUMNS.format(
        show_number(load.running),
        show_number(load.waiting),
        show_share(load.kv_usage),
        show_number(load.tokens_in),
        show_number(load.tokens_out),
        show_number(load.imbalance),
    )


LOADS = COLUMNS.format("run", "wait", "KV", "in/s", "out/s", "busy")


def _engine_header() -> str:
    return f"{'engine':<16} {'role':<10} {'ranks':>9} {LOADS}"


def _engine_lines(engines: Sequence[EngineLoad]) -> Iterator[Text]:
    """The worst; the others are counted in the last line."""
    shown = engines if len(engines) <= MOST_ENGINES else engines[: MOST_ENGINES - 1]
    for row in shown:
        ranks = f"{row.ranks - row.unwell}/{row.ranks}"
        text = f"{row.engine:<16.16} {row.role:<10} {ranks:>9} {_load_cells(row.load)}"
        yield Text(text, style=STYLES[FAILED] if row.unwell else "")
    if len(shown) < len(engines):
        yield Text(f"and {len(engines) - len(shown)} more engines that are better off")


def _host_header() -> str:
    return f"{'host':<16} {'ranks':<20} {LOADS} {'mem':>5} {'power':>7} {'°C':>4}"


def _host_line(row: HostLoad) -> Text:
    text = Text(f"{row.host:<16.16} ", style="" if row.heard else STYLES[FAILED])
    shown = row.ranks if len(row.ranks) <= 20 else row.ranks[:19]
    for rank in shown:
        text.append(_rank_mark(rank), style=STYLES[rank.verdict])
    text.append(" " * (20 - len(shown)) if len(shown) == len(row.ranks) else "+")
    power = "-" if row.power_w is None else f"{row.power_w:.0f} W"
    text.append(
        f" {_load_cells(row.load)} {show_share(row.memory_usage):>5} {power:>7}"
        f" {show_number(row.temperature_c):>4}"
    )
    if notes := "; ".join(_notes(row)):
        text.append(f" {notes}", style=STYLES[SUSPECT])
    return text


def _rank_mark(rank: RankLoad) -> str:
    """A bar as high as its KV cache is full; of one that isn't well, what it is."""
    if rank.verdict != HEALTHY:
        return MARKS.get(rank.verdict, "?")
    return "·" if rank.kv_usage is None else _bar(rank.kv_usage, 1.0)


def _notes(row: HostLoad) -> Iterator[str]:
    if not row.heard:
        yield "its agent isn't heard"
    if row.throttled:
        yield f"slowed down: {', '.join(row.throttled)}"
    if row.link_errors:
        yield f"{row.link_errors:.0f} link errors"


def _bar(value: float, highest: float) -> str:
    level = int(value / highest * len(BARS)) if highest > 0 else 0
    return BARS[max(0, min(len(BARS) - 1, level))]


def sparkline(values: Sequence[Value], highest: float | None = None) -> str:
    """Of the last ones; a blank where nothing is known. `highest`: of the scale."""
    known = [value for value in values if value is not None]
    top = highest if highest is not None else max(known, default=0.0)
    return "".join(" " if value is None else _bar(value, top) for value in values[-TREND:]) or "-"
