"""`dsr1 bench`: a run under load, measured."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import typer

from dsr1.hosts.errors import InputError
from dsr1.launcher.benchmark.by_hand import BY_HAND, refuse_no_room, started_by_hand
from dsr1.launcher.benchmark.comparing import ComparisonAnswer, compare_points
from dsr1.launcher.benchmark.measure import Criteria, shown_workload
from dsr1.launcher.benchmark.point import BenchPoint
from dsr1.launcher.benchmark.session import Bench, open_bench
from dsr1.launcher.benchmark.store import BenchResult, GrowingResult, find_results
from dsr1.launcher.benchmark.tools import AIPERF_TOOL
from dsr1.launcher.benchmark.workload import Workload, check_workload
from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.options.bench import CriteriaOptions, DriverOptions, LoadOptions
from dsr1.launcher.cli.options.common import AsJson, RunName
from dsr1.launcher.cli.views.bench import OnPoint, comparison_text, points_text, progress_view
from dsr1.launcher.cli.views.console import make_console
from dsr1.launcher.operate.status import find_any
from dsr1.launcher.run.signals import interrupt_on_signals
from dsr1.launcher.run.store import Run


def bench(
    load: LoadOptions,
    criteria: CriteriaOptions,
    driver: DriverOptions,
    run: RunName = None,
    compare: Annotated[
        str,
        typer.Option(
            "--compare", metavar="OTHER", help="Compare what was measured: RUN, RUN:N or a file."
        ),
    ] = "",
    launcher_cost: Annotated[
        bool,
        typer.Option(
            "--launcher-cost", help="Beside it, measure the same commands started by hand."
        ),
    ] = False,
    setup: Annotated[
        bool,
        typer.Option("--setup", help="Install the tool that this command uses, here, and end."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put a run under load and measure it: latencies, tokens a second, goodput.

    Too many failed or empty answers make no result: exit code 4 says how they failed.
    """
    interrupt_on_signals()
    _refuse_contradictions(setup, compare, launcher_cost, driver.url)
    if setup:
        print(f"{AIPERF_TOOL.set_up()}: AIPerf is ready: --driver aiperf")
    elif compare:
        _compare(run or "", compare, as_json)
    elif launcher_cost:
        _measure_beside(find_any(run), load, criteria, driver, as_json)
    else:
        _measure_run(find_any(run), load, criteria, driver, as_json)


def _refuse_contradictions(setup: bool, compare: str, launcher_cost: bool, url: str) -> None:
    if setup + bool(compare) + launcher_cost > 1:
        raise InputError("--setup, --compare and --launcher-cost exclude each other")
    if launcher_cost and url:
        raise InputError(
            f"--launcher-cost: starts what it measures beside the run itself; it goes without --url"
            f" {url}"
        )


def _measure_run(
    run: Run, load: LoadOptions, criteria: CriteriaOptions, driver: DriverOptions, as_json: bool
) -> None:
    """What was measured before a point that is refused is kept, and told."""
    workloads, wanted = load.workloads(), criteria.criteria()
    kept = GrowingResult(run, driver.url)
    with open_bench(run, driver.driver, driver.source, driver.cpu_list(), driver.url) as opened:
        _check_all(workloads, opened)
        try:
            with progress_view() as show:
                _measure_each(opened, workloads, wanted, show, run.name, kept)
        finally:
            if kept.saved:
                _tell([kept.saved], as_json)


def _measure_each(
    opened: Bench,
    workloads: Sequence[Workload],
    wanted: Criteria,
    show: OnPoint,
    name: str,
    kept: GrowingResult,
) -> None:
    for number, workload in enumerate(workloads, 1):
        of = f" ({number} of {len(workloads)})" if len(workloads) > 1 else ""
        title = f"{name}: {shown_workload(workload).words}{of}"
        kept.add(opened.measure(workload, wanted, partial(show, title)))


def _check_all(workloads: Sequence[Workload], opened: Bench) -> None:
    """All, before the first of them takes its minutes."""
    for workload in workloads:
        check_workload(workload, opened.target.max_model_len)


def _measure_beside(
    run: Run, load: LoadOptions, criteria: CriteriaOptions, driver: DriverOptions, as_json: bool
) -> None:
    """In turns, and who begins changes with each: a machine that warms up or is busy meets both."""
    workloads, wanted = load.workloads(), criteria.criteria()
    refuse_no_room(run, run.recipe())
    console = make_console(stderr=True, highlight=False)
    own, other = GrowingResult(run), GrowingResult(run, BY_HAND)
    with open_bench(run, driver.driver, driver.source, driver.cpu_list()) as opened:
        _check_all(workloads, opened)
        with started_by_hand(run, opened, console.print) as copy, progress_view() as show:
            sides = [(opened, run.name, own), (copy, BY_HAND, other)]
            for workload in workloads:
                for side, name, kept in sides:
                    _measure_each(side, [workload], wanted, show, name, kept)
                sides.reverse()
    assert own.saved
    assert other.saved
    _tell_compared([other.saved], [own.saved], as_json)


def _tell(results: Sequence[BenchResult], as_json: bool) -> None:
    if as_json:
        ANSWER.put("bench", [one.model_dump(mode="json") for one in results])
        return
    for one in results:
        print(points_text(one.name, one.points))


def _compare(name: str, other: str, as_json: bool) -> None:
    _tell_compared(find_results(name), find_results(other), as_json)


def _tell_compared(one: Sequence[BenchResult], other: Sequence[BenchResult], as_json: bool) -> None:
    """InputError: they have no load in common."""
    rows = compare_points(_points(one), _points(other))
    if not rows:
        raise InputError(
            f"{_name(one)} and {_name(other)}: no load in common: driver, lengths, requests at once"
            " and rate must be the same"
        )
    if as_json:
        ANSWER.put("bench-comparison", ComparisonAnswer(_name(one), _name(other), rows))
    else:
        print(comparison_text((_name(one), _name(other)), rows))


def _points(results: Sequence[BenchResult]) -> list[BenchPoint]:
    return [point for result in results for point in result.points]


def _name(results: Sequence[BenchResult]) -> str:
    return results[0].name if len(results) == 1 else results[0].run
