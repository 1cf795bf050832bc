"""The loop with a world that is made of values: interrupted anywhere it goes on, and comes to the same answer."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.answers import data_of
from tests.unit.launcher.conftest import Call

from dsr1.hosts.errors import HostError, InputError, LaunchFailed
from dsr1.launcher.recipe.load import RecipeChanges, resolve_recipe
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.run.store import new_run
from dsr1.launcher.tuning.estimate import estimate
from dsr1.launcher.tuning.goal import Figures, TuneGoal
from dsr1.launcher.tuning.measure import MeasuredLoad, stop_by_name
from dsr1.launcher.tuning.question import TuneQuestion
from dsr1.launcher.tuning.result.answer import (
    TuneAnswer,
    answer_table,
    describe_best,
    make_answer,
    series_of,
)
from dsr1.launcher.tuning.result.drawing import Series, draw_text, render_svg
from dsr1.launcher.tuning.search import Outcome, Task
from dsr1.launcher.tuning.store import Prediction, SavedPoint, TuneFolder, point_key
from dsr1.launcher.tuning.tune import Tuning, finish, measure_all, open_tuning

GOAL = TuneGoal(4000, 1000, 5000, 60)
QUESTION = TuneQuestion(
    "dsr1-dep", "r", ("n1", "n2"), 2, "h200", GOAL, 12, 0.0, "recorded", "ssh", False
)
KNOWN = ("--predictor", "recorded")
GIVEN = resolve_recipe("dsr1-dep", RecipeChanges())


class Interrupted(BaseException):
    """SIGKILL, as far as a test can tell."""


class World:
    """Deployments that do what is predicted of them; `ends_at` an action, or says `lost`."""

    def __init__(
        self, tuning: Tuning, ends_at: int = 0, error: BaseException | None = None
    ) -> None:
        self._tuning, self._ends_at = tuning, ends_at
        self._error = error or Interrupted()
        self.actions: list[str] = []
        self.left, self.stop_fails = math.inf, False
        self._recipe = ""

    def _act(self, what: str) -> None:
        self.actions.append(what)
        if len(self.actions) == self._ends_at:
            raise self._error

    def start(self, run: str, recipe: Recipe) -> None:
        self._recipe = recipe.name
        self._act(f"start {recipe.name}")

    def measure(self, concurrency: int, gpus: int) -> MeasuredLoad:
        self._act(f"measure {concurrency}")
        tables = self._tuning.prediction.tables
        found = next(
            one
            for one in self._tuning.chosen.candidates
            if self._recipe == _name(self._tuning, one.name)
        )
        return MeasuredLoad(estimate(found, tables, GOAL, concurrency), "{}")

    def stop(self) -> None:
        self._recipe = ""
        if self.stop_fails and len(self.actions) >= self._ends_at:
            raise LaunchFailed("may still run: n2: can't be reached")

    def left_s(self) -> float:
        return self.left


def _name(tuning: Tuning, candidate: str) -> str:
    from dsr1.launcher.tuning.tune import candidate_recipe

    return candidate_recipe(GIVEN, tuning.candidates[candidate]).recipe.name


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DSR1_STATE_DIR", str(tmp_path))
    return tmp_path


@contextmanager
def tuning(name: str, resume: bool = False, asked: TuneQuestion = QUESTION) -> Iterator[Tuning]:
    with open_tuning(name, asked, GIVEN, GIVEN, resume, print) as opened:
        yield opened


def whole(name: str) -> TuneAnswer:
    with tuning(name) as opened:
        return finish(opened, measure_all(opened, World(opened), print), ())


def test_it_comes_to_an_answer(state: Path) -> None:
    answer = whole("one")
    folder = state / "tunes" / "one"
    assert answer.best is not None
    assert answer.best.meets
    assert {one.name for one in folder.iterdir()} >= {
        "space.json", "predicted.json", "points", "front.json", "front.svg", "best.yaml", "report.md",
    }  # fmt: skip
    best = resolve_recipe(str(folder / "best.yaml"), RecipeChanges()).recipe
    assert best.engines["main"].nodes != "all"
    assert len(list(folder.glob("points/*/recipe.yaml"))) == 12
    assert (folder / "running").read_text() == ""
    report = (folder / "report.md").read_text()
    assert "extrapolated" in report
    assert "## Not tried" in report


@pytest.mark.parametrize("ends_at", [1, 2, 3, 7, 12])
def test_interrupted_anywhere_it_comes_to_the_same(ends_at: int) -> None:
    """And measures nothing twice."""
    expected = whole("whole")
    name = f"cut{ends_at}"
    with tuning(name) as opened, pytest.raises(Interrupted):
        measure_all(opened, World(opened, ends_at), print)
    with tuning(name, resume=True) as opened:
        answer = finish(opened, measure_all(opened, World(opened), print), ())
        tasks = [point.outcome.task for point in opened.folder.points()]
    assert len(set(tasks)) == len(tasks) == 12
    assert answer.rows == expected.rows
    assert answer.best == expected.best


def test_a_lost_host_ends_it_and_is_no_point() -> None:
    with tuning("lost") as opened:
        with pytest.raises(HostError):
            measure_all(opened, World(opened, 3, HostError("n2: is gone")), print)
        assert len(opened.folder.points()) == 1


@pytest.mark.parametrize("ends_at", [1, 2])
def test_an_interruption_is_no_word_on_a_candidate(ends_at: int) -> None:
    """Launch and driver tidy up after Ctrl-C, and then say that they failed."""
    with tuning("stopped") as opened:
        world = World(opened, ends_at, LaunchFailed("interrupted; everything is gone"))
        with pytest.raises(KeyboardInterrupt):
            measure_all(opened, world, print, lambda: len(world.actions) == ends_at)
        assert opened.folder.points() == []
        assert opened.folder.running() == ""


def test_a_job_that_ends_is_no_word_on_a_candidate() -> None:
    with tuning("late") as opened:
        world = World(opened, 2, LaunchFailed("its steps are gone"))
        world.left = 0
        with pytest.raises(HostError, match="--resume goes on in another"):
            measure_all(opened, world, print)
        assert opened.folder.points() == []


def test_no_point_is_begun_that_a_job_would_cut_off() -> None:
    with tuning("cut") as opened:
        opened.folder.save_point("0" * 16, SavedPoint(Outcome(Task("x", 1), None), 50, 10), "")
        world = World(opened)
        world.left = 59
        assert measure_all(opened, world, print).startswith("its job ends: 59 s are left")
        assert world.actions == []


@pytest.mark.parametrize("ends_at", [1, 2])
def test_a_failure_whose_host_can_not_be_reached_is_no_word_on_a_candidate(ends_at: int) -> None:
    """All its requests fail, as if the candidate were bad."""
    with tuning("unreached") as opened:
        world = World(opened, ends_at, LaunchFailed("320 of 320 requests failed"))
        world.stop_fails = True
        with pytest.raises(LaunchFailed, match="n2: can't be reached"):
            measure_all(opened, world, print)
        assert opened.folder.points() == []
        assert opened.folder.running() != ""


def test_a_point_that_failed_is_kept_and_the_next_launched_anew() -> None:
    with tuning("failed") as opened:
        world = World(opened, 2, LaunchFailed("20 of 60 requests failed"))
        measure_all(opened, world, print)
        first = opened.folder.points()[0].outcome
    assert first.failure == "20 of 60 requests failed"
    assert world.actions[2].startswith("start")


def test_a_budget_that_goes_on_is_held_against_real_times() -> None:
    """Of 30 s a first guess would leave nothing, while a launch and a point took 3 s here."""
    short = replace(QUESTION, budget_s=30)
    with tuning("short", asked=replace(QUESTION, budget_s=0)) as opened:
        opened.folder.save_point(
            "0" * 16, SavedPoint(Outcome(Task("dep16", 64), None, "no"), 1, 2), ""
        )
    with tuning("short", True, short) as opened:
        world = World(opened)
        measure_all(opened, world, print)
    assert world.actions


def test_points_are_in_the_order_they_were_measured_in() -> None:
    """Whatever the clock did meanwhile, and whoever has copied the folder."""
    with tuning("order") as opened:
        for number in (3, 1, 2):
            point = SavedPoint(Outcome(Task("x", number), None), 1, number=number)
            opened.folder.save_point(f"{number:016x}", point, "")
        assert [point.number for point in opened.folder.points()] == [1, 2, 3]


def test_a_budget_ends_it() -> None:
    with tuning("spent", asked=replace(QUESTION, budget_s=10_000)) as opened:
        lost = Outcome(Task("x", 1), None, "no")
        opened.folder.save_point("0" * 16, SavedPoint(lost, 5000, 4000), "")
        assert measure_all(opened, World(opened), print).startswith("the budget is used: 1000 s")


@pytest.mark.parametrize(
    ("asked", "resume", "words"),
    [
        (replace(QUESTION, budget_s=30), False, "--budget 30s: one launch and one point"),
        (QUESTION, True, "--resume: there is no tuning"),
    ],
)
def test_what_can_not_begin(asked: TuneQuestion, resume: bool, words: str) -> None:
    with pytest.raises(InputError, match=words), tuning("none", resume, asked):
        pass


def test_a_folder_answers_one_question() -> None:
    with tuning("mine"):
        second = tuning("mine", True)
        with pytest.raises(InputError, match="another dsr1 tune works there"):
            second.__enter__()
    with pytest.raises(InputError, match="--resume goes on"), tuning("mine"):
        pass
    other = replace(QUESTION, gpu="h100")
    refused = tuning("mine", True, other)
    with pytest.raises(InputError, match="gpu isn't what this tuning was asked: was 'h200'"):
        refused.__enter__()
    more = replace(QUESTION, points=20, budget_s=7200)
    with tuning("mine", True, more) as opened:
        assert opened.question.points == 20


def test_a_point_is_known_by_all_that_it_hangs_on() -> None:
    task = Task("a", 8)
    keys = {
        point_key(QUESTION, "r", task),
        point_key(QUESTION, "other", task),
        point_key(QUESTION, "r", replace(task, concurrency=9)),
        point_key(QUESTION, "r", replace(task, repeat=1)),
        point_key(replace(QUESTION, versions=("vllm 0.32",)), "r", task),
        point_key(replace(QUESTION, gpu="h100"), "r", task),
        point_key(replace(QUESTION, goal=replace(GOAL, isl=1)), "r", task),
    }
    assert len(keys) == 7
    assert point_key(replace(QUESTION, points=99), "r", task) in keys


def test_files_that_are_broken_are_named(state: Path) -> None:
    with tuning("broken") as opened:
        opened.folder.save_point("a" * 16, SavedPoint(Outcome(Task("x", 1), None), 1), "")
    (state / "tunes/broken/points" / ("a" * 16) / "point.json").write_text("{")
    with pytest.raises(InputError, match=r"point\.json: can't be read"):
        TuneFolder(state / "tunes" / "broken").points()


def answer_of(goal: TuneGoal, *figures: Figures) -> TuneAnswer:
    outcomes = [Outcome(Task("a", one.concurrency), one) for one in figures]
    return make_answer(goal, Prediction("", {}, {}, {}), outcomes, "done")


def test_limits_that_nothing_meets_have_a_nearest() -> None:
    figures = (Figures(4, 9000, 50, 10, 20), Figures(8, 5500, 50, 20, 18))
    told = describe_best(answer_of(GOAL, *figures))
    assert told == (
        "Nothing meets the limits. The nearest: a at 8 at once, measured: TTFT 5500 ms where 5000 is wanted."
    )


def test_pictures_take_any_name() -> None:
    series = [
        Series("<a>\x1b[31m & b", ((1.0, 2.0), (2.0, 1.0))),
        Series("c", ((0.0, 0.0),), "predicted"),
    ]
    drawn = render_svg("t<", series)
    assert "<a>" not in drawn
    assert "\x1b" not in drawn + draw_text(series)
    assert "A  <a>" in draw_text(series)
    assert "stroke-dasharray" in drawn
    assert ElementTree.fromstring(drawn).tag.endswith("svg")
    assert render_svg("", [])
    assert len(answer_table(answer_of(GOAL, Figures(4, 1, 1, 1, 1)))) == 2
    assert series_of(answer_of(GOAL)) == []


def test_the_answer_has_what_the_user_set(
    call: Call, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a recipe whose model is a variable that isn't set, and of one that is a file elsewhere."""
    monkeypatch.chdir(state)
    file = state / "mine.yaml"
    file.write_text("name: mine\nextends: dsr1-dep\nmodel: {path: $NOT_SET}\n")
    own = ("--model", "/m/DeepSeek-R1", "--set", "engines.main.max_model_len=9000")
    assert call("tune", file.name, "--predict-only", *KNOWN, *own, "--name", "mine") == 0
    best = state / "tunes" / "mine" / "best.yaml"
    recipe = resolve_recipe(str(best), RecipeChanges()).recipe
    assert (recipe.model.path, recipe.engines["main"].max_model_len) == ("/m/DeepSeek-R1", 9000)


def test_predict_only_launches_nothing(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    asked = (
        "tune",
        "dsr1-disagg-h200",
        "--predict-only",
        "--predictor",
        "recorded",
        "--ttft",
        "5s",
    )
    assert call(*asked, "--itl", "60ms", "--json") == 0
    answer = data_of(capsys.readouterr().out)
    assert answer["best"]["source"] in ("predicted", "extrapolated")
    assert {row["source"] for row in answer["rows"]} == {"predicted", "extrapolated"}
    assert call(*asked, "--name", "strict", "--itl", "1ms") == 4
    assert "Nothing meets the limits. The nearest:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--objective", "speed"), "--objective speed: unknown"),
        (("--ttft", "soon"), "--ttft soon: must be a span"),
        (("--itl", "ms"), "--itl ms: must be a span"),
        (("--itl", "0ms"), "must be a span"),
        (("--gpu", "b200"), "--gpu 'b200': unknown; there are h100, h200"),
        (("--points", "0"), "--points 0: must be 1 at least"),
        (("--nodes", "0"), "--nodes 0: must be 1 at least"),
        (("--time", "3"), "--partition, --account and --time go with --slurm only"),
        (("--name", "../x", *KNOWN), "--name '../x': must be letters"),
        (("--isl", "40000", *KNOWN), "41000 tokens, and engines.main.max_model_len is 32768"),
        (("--predictor", "/no/such"), "has no bin/python"),
        (("--budget", "1s", "--predictor", "recorded"), "one launch and one point"),
        (("--predictor", "none"), "--predict-only: nothing predicts"),
        (("--hosts", "n1", "--slurm"), "--slurm excludes --hosts"),
        (("--hosts", "n1", "--rehearse"), "--rehearse runs on this machine"),
        (("--model", "/m/other", "--set", "model.served_name=o", *KNOWN), "knows R1 and V3 alone"),
        (("--set", "engines.main.nodes=2", "--nodes", "1", *KNOWN), "needs 2 hosts"),
    ],
)
def test_bad_input(
    options: tuple[str, ...], words: str, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("tune", "dsr1-dep", "--predict-only", *options) == 2
    assert words in capsys.readouterr().err


def test_what_is_left_of_a_launch_is_called_gone_only_if_nobody_knows_it(state: Path) -> None:
    stop_by_name("never-was", remove=True)
    run = new_run("broken")
    run.folder.mkdir(parents=True)
    (run.folder / "settings.json").write_text("{")
    (run.folder / "job.json").write_text("{")
    with pytest.raises(LaunchFailed, match="can't be read"):
        stop_by_name("broken", remove=True)
    assert run.folder.exists()
