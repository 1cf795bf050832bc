"""What a report of a run holds, from its folder alone: also of one that has ended, and of a job."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from dsr1.env.versions import installed_packages
from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import Dsr1Error
from dsr1.hosts.inventory.names import fold_numbers
from dsr1.hosts.protocol.events import Finding
from dsr1.hosts.protocol.facts.fact import Facts
from dsr1.launcher.metrics.store import MetricsReader
from dsr1.launcher.metrics.words import show_time
from dsr1.launcher.operate.bundle.contents import run_findings
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.plan.render_text import join_words
from dsr1.launcher.report.charts import Chart, make_charts
from dsr1.launcher.report.earlier import earlier_start
from dsr1.launcher.report.masking import SECRET, mask_words
from dsr1.launcher.report.measured import MeasuredTable, measured_tables
from dsr1.launcher.report.recipe import render_sourced
from dsr1.launcher.report.sentences import start_sentences
from dsr1.launcher.report.start import start_of
from dsr1.launcher.report.timeline import Timeline
from dsr1.launcher.run.record.history import Change, read_history
from dsr1.launcher.run.record.smoked import SmokeRecord, read_smoke
from dsr1.launcher.run.record.sources import ValueSource, read_sources
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run
from dsr1.launcher.secret_names import names_secret

POINTS, MOST_CHANGES = 150, 500
PartT = TypeVar("PartT")
Row = tuple[str, str]


@dataclass(frozen=True, slots=True)
class HostPart:
    """One host's part of the topology."""

    host: str
    address: str
    processes: tuple[str, ...]
    ranks: str


@dataclass(frozen=True, slots=True)
class SourcedVariable:
    """An environment variable, where its value came from, and how many processes have it."""

    name: str
    value: str
    source: str
    processes: int


@dataclass(frozen=True, slots=True)
class ReportCommand:
    process: str
    host: str
    command: str


@dataclass(frozen=True, slots=True)
class ReportPage:
    """Of one run. `before`: the last start of the same recipe, by its run's name. `problems`: what
    couldn't be read."""

    run: str
    phase: str
    summary: tuple[Row, ...]
    cause: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    hosts: tuple[HostPart, ...] = ()
    findings: tuple[Finding, ...] = ()
    passed: int = 0
    versions: tuple[Row, ...] = ()
    timeline: Timeline | None = None
    said: tuple[str, ...] = ()
    before: tuple[str, Timeline] | None = None
    charts: tuple[Chart, ...] = ()
    changes: tuple[Change, ...] = ()
    smoked: SmokeRecord | None = None
    measured: tuple[MeasuredTable, ...] = ()
    recipe: str = ""
    variables: tuple[SourcedVariable, ...] = ()
    commands: tuple[ReportCommand, ...] = ()
    again: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class _Reader:
    """Of a run whose files are broken, what can be read, and why the rest can't."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def part(self, read: Callable[[], PartT], otherwise: PartT) -> PartT:
        try:
            return read()
        except (Dsr1Error, OSError, ValueError) as error:
            self.problems.append(str(error))
            return otherwise


def make_page(run: Run, state: RunState) -> ReportPage:
    reader = _Reader()
    plan = reader.part(run.plan, None) if run.is_planned() else None
    page = ReportPage(
        run=run.name,
        phase=state.phase,
        summary=tuple(_summary(run, state, plan)),
        cause=state.cause_lines,
        notes=state.notes,
        charts=make_charts(MetricsReader(run.folder).spread(POINTS)),
        changes=tuple(read_history(run)[-MOST_CHANGES:]),
        smoked=reader.part(lambda: read_smoke(run), None),
        measured=measured_tables(run),
        again=tuple(reader.part(lambda: _again(run, plan), [])),
    )
    page = _with_start(_with_hosts(_with_plan(page, plan), run, reader), run, reader)
    return replace(page, problems=tuple(dict.fromkeys(reader.problems)))


def _with_plan(page: ReportPage, plan: Plan | None) -> ReportPage:
    if plan is None:
        return page
    hosts, commands = tuple(_hosts(plan)), tuple(_commands(plan))
    return replace(page, hosts=hosts, commands=commands, variables=tuple(_variables(plan)))


def _with_hosts(page: ReportPage, run: Run, reader: _Reader) -> ReportPage:
    """What its checks found there, and the recipe that they were checked for."""
    no_findings: list[Finding] = []
    no_facts: dict[str, Facts] = {}
    no_sources: dict[str, ValueSource] = {}
    findings = reader.part(lambda: run_findings(run), no_findings)
    worth = tuple(one for one in findings if one.verdict != "PASS")
    versions = tuple(_versions(reader.part(run.facts, no_facts)))
    sources = reader.part(lambda: read_sources(run), no_sources)
    recipe = reader.part(lambda: render_sourced(run.recipe(), sources), "")
    passed = len(findings) - len(worth)
    return replace(page, findings=worth, passed=passed, versions=versions, recipe=recipe)


def _with_start(page: ReportPage, run: Run, reader: _Reader) -> ReportPage:
    if (start := start_of(run)) is None:
        return page
    before = reader.part(lambda: earlier_start(run, start), None)
    said = tuple(start_sentences(start, before))
    return replace(page, timeline=start, said=said, before=before)


def _summary(run: Run, state: RunState, plan: Plan | None) -> Iterator[Row]:
    yield "phase", state.phase
    yield "since", show_time(state.since)
    yield "launched", show_time(run.claimed_at())
    if state.ready_after is not None:
        yield "ready after", f"{state.ready_after:.1f} s"
    if state.restarts:
        yield "restarts", str(state.restarts)
    if state.reason:
        yield "why", state.reason
    if job := run.job():
        yield "job", str(job)
    if plan:
        yield "recipe", plan.recipe
        yield "model", plan.service.model
        yield "served at", plan.service.url
        yield "hosts", str(len(plan.hosts))
        yield "ranks", str(len(plan.ranks))


def _hosts(plan: Plan) -> Iterator[HostPart]:
    for host in plan.hosts:
        ranks: dict[str, list[int]] = {}
        for one in plan.ranks:
            if one.host == host.host:
                ranks.setdefault(one.engine, []).append(one.rank)
        words = "; ".join(f"{engine} {fold_numbers(own)}" for engine, own in ranks.items())
        processes = tuple(process.name for process in host.processes)
        yield HostPart(host.host, host.address, processes, words)


def _versions(facts: Mapping[str, Facts]) -> Iterator[Row]:
    """What differs between hosts names them."""
    found: dict[str, dict[str, list[str]]] = {}
    for host, own in facts.items():
        for name, version in _host_versions(own):
            found.setdefault(name, {}).setdefault(version, []).append(host)
    for name, by_version in sorted(found.items()):
        if len(by_version) == 1:
            yield name, next(iter(by_version))
        else:
            yield name, "; ".join(f"{v} ({', '.join(own)})" for v, own in by_version.items())


def _host_versions(facts: Facts) -> Iterator[Row]:
    yield from installed_packages(facts).items()
    for name in ("os.name", "kernel.release", "nvidia.driver"):
        if name in facts and facts[name].value:
            yield name, str(facts[name].value)


def _variables(plan: Plan) -> Iterator[SourcedVariable]:
    counts: dict[Row, dict[str, int]] = {}
    for process in plan.processes:
        for one in process.env:
            value = SECRET if names_secret(one.name) else one.value
            by_source = counts.setdefault((one.name, value), {})
            by_source[one.source] = by_source.get(one.source, 0) + 1
    for (name, value), by_source in sorted(counts.items()):
        for source, count in by_source.items():
            yield SourcedVariable(name, value, source, count)


def _commands(plan: Plan) -> Iterator[ReportCommand]:
    for process in plan.processes:
        yield ReportCommand(process.name, process.host, join_words(tuple(mask_words(process.argv))))


def _again(run: Run, plan: Plan | None) -> list[str]:
    """With the recipe of this page as recipe.yaml."""
    hosts = ",".join(access.name for access in run.settings().hosts) if plan else ""
    where = f"--hosts {hosts}" if hosts else ""
    if run.job():
        where = f"--slurm --nodes {len(plan.hosts) if plan else 1}"
    verbs = ("check", "launch")
    return [" ".join(filter(None, ("dsr1", verb, "recipe.yaml", where))) for verb in verbs]
