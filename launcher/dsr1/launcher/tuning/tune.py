"""One tuning, whole: space, prediction, measurement, answer; each is in its folder once it is
known."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.launcher.recipe.load import Resolved
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.state_folder import RUN_NAME
from dsr1.launcher.tuning.candidate import Candidate
from dsr1.launcher.tuning.choose import choose, with_starts_of_most
from dsr1.launcher.tuning.goal import TuneGoal
from dsr1.launcher.tuning.loop import (
    TellLine,
    Trial,
    TuneLoop,
    needed_s,
    never,
)
from dsr1.launcher.tuning.mapping.convert import KeyChange
from dsr1.launcher.tuning.mapping.dimensions import read_model_config
from dsr1.launcher.tuning.mapping.recipe import apply_changes
from dsr1.launcher.tuning.measure import Measurer, stop_by_name
from dsr1.launcher.tuning.overlay import render_overlay, written_difference
from dsr1.launcher.tuning.predicting import predict_space
from dsr1.launcher.tuning.question import TuneQuestion, refuse_other
from dsr1.launcher.tuning.rehearsal import MOST_AT_ONCE, rehearsed_recipe, render_profile
from dsr1.launcher.tuning.result.answer import (
    TuneAnswer,
    describe_best,
    make_answer,
    render_tune_report,
    series_of,
    whys_of,
)
from dsr1.launcher.tuning.result.drawing import render_svg
from dsr1.launcher.tuning.space import Space, make_space
from dsr1.launcher.tuning.store import Chosen, Prediction, TuneFolder, tunes_folder

_LONGEST = 32


@dataclass(frozen=True, slots=True)
class Tuning:
    """`plain` is the recipe that the answer extends; `given` has the user's changes on top."""

    folder: TuneFolder
    question: TuneQuestion
    plain: Resolved
    given: Resolved
    space: Space
    prediction: Prediction
    chosen: Chosen

    @property
    def candidates(self) -> dict[str, Candidate]:
        return {one.name: one for one in self.chosen.candidates}


def tune_folder(name: str) -> TuneFolder:
    """InputError: no name of a folder."""
    if not RUN_NAME.fullmatch(name):
        raise InputError(
            f"--name {name!r}: must be letters, digits, - and _, at most 63, for example tune-r1"
        )
    return TuneFolder(tunes_folder() / name)


@contextmanager
def open_tuning(
    name: str,
    question: TuneQuestion,
    plain: Resolved,
    given: Resolved,
    resume: bool,
    tell: TellLine,
) -> Iterator[Tuning]:
    """InputError: the space is empty, the folder is another's, or what it was asked is another
    question."""
    refuse_long(given.recipe, question.goal)
    config = read_model_config(given.recipe)
    space = make_space(given, config, question.nodes, question.gpu)
    folder = tune_folder(name)
    refuse_taken(folder, name, resume)
    refuse_budget(question, folder)
    with folder.locked():
        if folder.exists:
            refuse_other(folder.question(), question)
        folder.save_question(question)
        folder.save_space(space)
        prediction = folder.prediction()
        if prediction is None:
            tell(f"{len(space.mappings)} mappings fit, {len(space.dropped)} don't")
            prediction = predict_space(space, question.predictor, question.goal, question.gpu)
            folder.save_prediction(prediction)
        chosen = folder.chosen()
        if chosen is None:
            chosen = _chosen(space, prediction, question, given)
            folder.save_chosen(chosen)
        yield Tuning(folder, question, plain, given, space, prediction, chosen)


def _chosen(
    space: Space, prediction: Prediction, question: TuneQuestion, given: Resolved
) -> Chosen:
    chosen = choose(space, prediction, question.goal, given)
    if not question.rehearsed:
        return chosen
    return replace(chosen, sweeps=with_starts_of_most(chosen.sweeps, MOST_AT_ONCE // 2))


def refuse_long(recipe: Recipe, goal: TuneGoal) -> None:
    """vLLM refuses longer ones, each."""
    for name, engine in recipe.engines.items():
        if engine.max_model_len and engine.max_model_len < goal.isl + goal.osl:
            raise InputError(
                f"--isl {goal.isl} --osl {goal.osl}: {goal.isl + goal.osl} tokens, and"
                f" engines.{name}.max_model_len is {engine.max_model_len}"
            )


def refuse_taken(folder: TuneFolder, name: str, resume: bool) -> None:
    if folder.exists and not resume:
        raise InputError(
            f"--name {name}: there is a tuning of that name in {folder.path}; --resume goes on"
            " with it"
        )
    if resume and not folder.exists:
        raise InputError(f"--resume: there is no tuning {name} in {folder.path.parent}")


def refuse_budget(question: TuneQuestion, folder: TuneFolder) -> None:
    """Before the first launch nobody knows how long one takes here; later the loop does."""
    needed = needed_s((), launches=True, rehearsed=question.rehearsed)
    if 0 < question.budget_s < needed and not folder.points():
        raise InputError(
            f"--budget {question.budget_s:g}s: one launch and one point are taken to need"
            f" {needed:g} s; give more, or --predict-only"
        )


def measure_all(
    tuning: Tuning,
    measurer: Measurer,
    tell: TellLine,
    interrupted: Callable[[], bool] = never,
) -> str:
    """Why it is done. What an earlier session left running is stopped first."""
    if left := tuning.folder.running():
        tell(f"stopping what is left of {left}")
        stop_by_name(left, remove=True)
        tuning.folder.save_running("")
    loop = TuneLoop(
        tuning.folder,
        tuning.question,
        tuning.chosen.sweeps,
        tuning.candidates,
        trial_maker(tuning),
        measurer,
        tell,
        interrupted,
    )
    return loop.run()


def trial_maker(tuning: Tuning) -> Callable[[Candidate], Trial]:
    profiles = _write_profiles(tuning) if tuning.question.rehearsed else {}

    def make(candidate: Candidate) -> Trial:
        recipe = candidate_recipe(tuning.given, candidate).recipe
        text = overlay_of(tuning, candidate)
        real = rehearsed_recipe(recipe, candidate, profiles) if profiles else recipe
        return Trial(candidate, real, text)

    return make


def candidate_recipe(given: Resolved, candidate: Candidate) -> Resolved:
    label = candidate.name.lower().replace(" ", "-").replace(",", "").replace("+", "")
    name = "".join(letter for letter in f"{given.recipe.name}-{label}" if letter.isascii())
    short = "-".join(filter(None, name[:_LONGEST].split("-")))
    renamed = KeyChange("name", short, given.recipe.name, "tuned")
    return apply_changes(given, (*candidate.changes, renamed))


def overlay_of(tuning: Tuning, candidate: Candidate, head: tuple[str, ...] = ()) -> str:
    """Its recipe, as what it changes of the one it extends."""
    resolved = candidate_recipe(tuning.given, candidate)
    changed = written_difference(tuning.plain, resolved)
    whys = {".".join(keys): where for keys, where in resolved.tree.locations.items()}
    own = whys_of(candidate)
    return render_overlay(tuning.question.extends, changed, {**whys, **own}, head)


def _write_profiles(tuning: Tuning) -> dict[str, Path]:
    """By a mapping's label. Absolute: the simulators run elsewhere."""
    made = {}
    for label, table in tuning.prediction.tables.items():
        file = tuning.folder.path.absolute() / f"{label}.npz"
        file.write_bytes(render_profile(table, tuning.question.goal))
        made[label] = file
    return made


def finish(tuning: Tuning, why_done: str, notes: tuple[str, ...]) -> TuneAnswer:
    """Writes the answer: front.json, front.svg, report.md, and best.yaml where there is a best."""
    asked, folder = tuning.question, tuning.folder
    outcomes = [point.outcome for point in folder.points()]
    answer = make_answer(asked.goal, tuning.prediction, outcomes, why_done)
    title = f"Tuned: {tuning.given.recipe.name} on {asked.nodes} hosts of {asked.gpu.upper()}"
    folder.write_text("front.json", TypeAdapter(TuneAnswer).dump_json(answer, indent=1).decode())
    folder.write_text("front.svg", render_svg(title, series_of(answer)))
    report = render_tune_report(
        title, asked.goal, answer, tuning.prediction, outcomes, tuning.space.dropped, notes
    )
    folder.write_text("report.md", report)
    row = answer.best or answer.nearest
    known = {one.name: one for one in tuning.chosen.candidates}
    if row and row.candidate in known:
        head = (title, describe_best(answer))
        folder.write_text("best.yaml", overlay_of(tuning, known[row.candidate], head))
    return answer
