"""`dsr1 tune`: the best recipe for these hosts and a load."""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.hosts.inventory.access import Access
from dsr1.launcher.batch.launch import batch_site, try_job
from dsr1.launcher.batch.script import salloc_command
from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.launch import CheckOptions
from dsr1.launcher.cli.options.bench import parse_short_span
from dsr1.launcher.cli.options.common import AsJson, HostOptions
from dsr1.launcher.cli.options.durations import parse_span
from dsr1.launcher.cli.options.recipe import RecipeOptions, Rehearse, SlurmOptions
from dsr1.launcher.cli.views.start import PlainLines
from dsr1.launcher.layout.placement import wanted_nodes
from dsr1.launcher.recipe.load import RecipeChanges, Resolved, built_in_recipes, resolve_recipe
from dsr1.launcher.run.signals import NotedInterrupts
from dsr1.launcher.run.state import OnState
from dsr1.launcher.site.load import load_site
from dsr1.launcher.terminal import escape_line
from dsr1.launcher.tuning.goal import TuneGoal
from dsr1.launcher.tuning.measure import Launcher, LaunchPlace
from dsr1.launcher.tuning.memory import GPU_BYTES
from dsr1.launcher.tuning.place_facts import look_at_place
from dsr1.launcher.tuning.predicting import NONE, choose_predictor, describe_predictor
from dsr1.launcher.tuning.prediction.aiconfigurator import AICONFIGURATOR_TOOL
from dsr1.launcher.tuning.question import TuneQuestion
from dsr1.launcher.tuning.rehearsal import SPEEDUP, rehearsed_goal
from dsr1.launcher.tuning.result.answer import TuneAnswer, answer_table, describe_best, series_of
from dsr1.launcher.tuning.result.drawing import draw_text
from dsr1.launcher.tuning.tune import Tuning, finish, measure_all, open_tuning
from dsr1.slurm.allocation import Allocation, own_allocation

REHEARSED_ROUNDS = 2
ALLOCATED, MAIN = "DSR1_TUNE_ALLOCATED", "dsr1.launcher.cli.main"
"""Told to who runs in the allocation that was asked for here."""


@dataclass(frozen=True, slots=True)
class GoalOptions:
    """The load, what its answers must meet, and what counts."""

    isl: Annotated[int, typer.Option("--isl", metavar="TOKENS", help="Tokens of each prompt.")] = (
        4000
    )
    osl: Annotated[int, typer.Option("--osl", metavar="TOKENS", help="Tokens of each answer.")] = (
        1000
    )
    ttft: Annotated[
        str,
        typer.Option("--ttft", metavar="SPAN", help="A good request's first token: 2s, 500ms."),
    ] = ""
    itl: Annotated[
        str, typer.Option("--itl", metavar="SPAN", help="Its mean gap between tokens: 50ms.")
    ] = ""
    objective: Annotated[
        str,
        typer.Option("--objective", metavar="WORD", help="throughput (a GPU), latency or goodput."),
    ] = "throughput"

    def goal(self) -> TuneGoal:
        limits = (_milliseconds(self.ttft, "--ttft"), _milliseconds(self.itl, "--itl"))
        goal = TuneGoal(self.isl, self.osl, *limits, self.objective)
        goal.check()
        return goal


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How much is tried."""

    points: Annotated[
        int, typer.Option("--points", metavar="NUMBER", help="Loads to measure, in all.")
    ] = 12
    budget: Annotated[
        str, typer.Option("--budget", metavar="TIME", help="Measure no longer than: 2h.")
    ] = ""
    predict_only: Annotated[bool, typer.Option("--predict-only", help="Launch nothing.")] = False
    predictor: Annotated[
        str,
        typer.Option(
            "--predictor",
            metavar="FOLDER",
            help="An environment with aiconfigurator; or: recorded, none.",
        ),
    ] = ""
    gpu: Annotated[
        str, typer.Option("--gpu", metavar="KIND", help="h100 or h200; default: as on the hosts.")
    ] = ""


def tune(
    recipe: RecipeOptions,
    hosts: HostOptions,
    wanted: GoalOptions,
    search: SearchOptions,
    checks: CheckOptions,
    slurm_keys: SlurmOptions,
    slurm: Annotated[
        bool, typer.Option("--slurm", help="Measure all of it in one Slurm job, by salloc.")
    ] = False,
    rehearsed: Rehearse = False,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="The tuning's name; default: tune-RECIPE.")
    ] = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the tuning of that name.")
    ] = False,
    setup: Annotated[
        bool,
        typer.Option("--setup", help="Install the tool that this command uses, here, and end."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find the best recipe for these hosts and a load: predict first, then measure.

    Ctrl-C leaves nothing running; --resume goes on where it was interrupted.
    """
    if setup:
        print(f"{AICONFIGURATOR_TOOL.set_up()}: AIConfigurator is ready: it predicts from now on")
        return
    goal = wanted.goal()
    _refuse_contradictions(hosts, slurm, rehearsed, search, slurm_keys)
    allocation = None
    if not (hosts.named or rehearsed or search.predict_only):
        allocation = _allocation(recipe, slurm_keys, slurm)
    site = load_site().values()
    plain = resolve_recipe(recipe.recipe, RecipeChanges(keep_unset=True, site=site))
    given = recipe.resolve()
    place = _place(hosts.accesses(), allocation, checks, rehearsed)
    question = _question(recipe, given, place, goal, search, slurm_keys.nodes, rehearsed)
    name = name or f"tune-{given.recipe.name}"
    tell = _teller(as_json)
    if search.predict_only and question.predictor == NONE:
        raise InputError(f"--predict-only: {describe_predictor(NONE)}")
    tell(describe_predictor(question.predictor))
    signals = NotedInterrupts()
    with open_tuning(name, question, plain, given, resume, tell) as tuning:
        why = "" if search.predict_only else _measured(tuning, place, tell, signals)
        answer = finish(tuning, why, _notes(question))
    _show(tuning, answer, as_json)
    if answer.best is None:
        raise LaunchFailed(describe_best(answer))


def _milliseconds(text: str, option: str) -> float | None:
    return parse_short_span(text, option) * 1000 if text else None


def _refuse_contradictions(
    hosts: HostOptions,
    slurm: bool,
    rehearsed: bool,
    search: SearchOptions,
    slurm_keys: SlurmOptions,
) -> None:
    if slurm and hosts.named:
        raise InputError("--slurm excludes --hosts and --on: Slurm chooses the hosts")
    if rehearsed and (slurm or hosts.named):
        raise InputError(
            "--rehearse runs on this machine: it goes without --hosts, --on, --slurm; elsewhere"
            " --set stack=mocker has simulated engines, without the prediction's times"
        )
    if not slurm and (slurm_keys.partition or slurm_keys.account or slurm_keys.time):
        raise InputError("--partition, --account and --time go with --slurm only")
    for option, number in (("--points", search.points), ("--nodes", slurm_keys.nodes)):
        if number is not None and number < 1:
            raise InputError(f"{option} {number}: must be 1 at least")
    if search.gpu and search.gpu not in GPU_BYTES:
        raise InputError(f"--gpu {search.gpu!r}: unknown; there are {', '.join(GPU_BYTES)}")


def _allocation(recipe: RecipeOptions, slurm_keys: SlurmOptions, slurm: bool) -> Allocation | None:
    """The one that this shell is in; with `slurm` a new one, in which this command runs anew."""
    inside = own_allocation(os.environ)
    if not slurm or (inside and ALLOCATED in os.environ):
        return inside
    asked = recipe.resolve(slurm_keys.changes(), elsewhere=True).recipe
    try_job(asked, "tune")  # sbatch's words for what can't be had, at once
    argv = (*salloc_command(asked, batch_site()), sys.executable, "-P", "-m", MAIN, *sys.argv[1:])
    try:
        os.execvpe(argv[0], argv, {**os.environ, ALLOCATED: "1"})
    except OSError as error:
        raise InputError(f"--slurm: {argv[0]} can't be run here: {error.strerror}") from None


def _question(
    recipe: RecipeOptions,
    given: Resolved,
    place: LaunchPlace,
    goal: TuneGoal,
    search: SearchOptions,
    nodes: int | None,
    rehearsed: bool,
) -> TuneQuestion:
    lent, imagined = place.allocation, search.predict_only or rehearsed
    seen = None if imagined else look_at_place(given.recipe, place.accesses, lent)
    there = len(lent.places) - given.recipe.slurm.spares if lent else len(place.accesses)
    return TuneQuestion(
        extends=_extended(recipe.recipe),
        recipe=given.recipe.model_dump_json(exclude={"slurm"}),
        hosts=tuple(one.name for one in place.accesses),
        nodes=nodes or there or wanted_nodes(given.recipe),
        gpu=search.gpu or (seen.gpu if seen else "h200"),
        goal=rehearsed_goal(goal) if rehearsed else goal,
        points=search.points,
        budget_s=parse_span(search.budget, "--budget") if search.budget else 0.0,
        predictor=choose_predictor(search.predictor, given.recipe, rehearsed),
        place="slurm" if lent else "ssh" if place.accesses else "here",
        rehearsed=rehearsed,
        versions=(f"dsr1 {version('dsr1')}", *(seen.versions if seen else ())),
    )


def _extended(recipe: str) -> str:
    """The answer lies elsewhere: a file is named with its whole path."""
    return recipe if recipe in built_in_recipes() else str(Path(recipe).absolute())


def _place(
    accesses: tuple[Access, ...],
    allocation: Allocation | None,
    checks: CheckOptions,
    rehearsed: bool,
) -> LaunchPlace:
    place = LaunchPlace(accesses, allocation, checks.no_check, checks.skipped())
    if not rehearsed:
        return place
    return replace(place, speedup=SPEEDUP, rounds=REHEARSED_ROUNDS)


def _measured(
    tuning: Tuning, place: LaunchPlace, tell: Callable[[str], None], signals: NotedInterrupts
) -> str:
    launcher = Launcher(place, tuning.question.goal, _starting)
    return measure_all(tuning, launcher, tell, lambda: signals.came)


def _starting(run: str) -> OnState:
    return PlainLines(sys.stderr).tell


def _teller(as_json: bool) -> Callable[[str], None]:
    out = sys.stderr if as_json else sys.stdout

    def tell(line: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {escape_line(line)}", file=out, flush=True)

    return tell


def _notes(question: TuneQuestion) -> tuple[str, ...]:
    if not question.rehearsed:
        return ()
    goal = question.goal
    return (
        f"A rehearsal: simulated engines, {SPEEDUP:g} times as fast as the prediction, with"
        f" prompts of {goal.isl} and answers of {goal.osl} tokens. Its figures are the"
        " prediction's, through dsr1's own life of a run.",
    )


def _show(tuning: Tuning, answer: TuneAnswer, as_json: bool) -> None:
    if as_json:
        ANSWER.put("tune", {**asdict(answer), "folder": str(tuning.folder.path)})
        return
    table = answer_table(answer)
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(escape_line("  ".join(cells).rstrip()))
    if series := series_of(answer):
        print(draw_text(series))
    print(describe_best(answer))
    print(f"{tuning.folder.path}: report.md, front.svg, front.json, best.yaml")
