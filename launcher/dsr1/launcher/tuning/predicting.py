"""Which predictor there is, and what it says of a space."""

from collections.abc import Mapping
from pathlib import Path

from dsr1.hosts.errors import InputError
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.tuning.choose import predict
from dsr1.launcher.tuning.goal import TuneGoal
from dsr1.launcher.tuning.prediction.aiconfigurator import (
    AICONFIGURATOR_TOOL,
    Aiconfigurator,
    find_aiconfigurator,
)
from dsr1.launcher.tuning.prediction.predictor import predict_mappings
from dsr1.launcher.tuning.prediction.recorded import recorded_source, recorded_tables
from dsr1.launcher.tuning.prediction.table import TimeTable
from dsr1.launcher.tuning.space import Space
from dsr1.launcher.tuning.store import Prediction

AICONFIGURATOR, RECORDED, NONE = "aiconfigurator", "recorded", "none"


def choose_predictor(asked: str, recipe: Recipe, rehearsed: bool) -> str:
    """`asked` empty: AIConfigurator where it is installed and knows the model; else what was
    recorded of it, for a rehearsal; else none. An environment's folder, or one of those words."""
    if asked in (RECORDED, NONE):
        _refuse_unknown(asked, recipe)
        return asked
    if asked:
        _refuse_unknown(asked, recipe)
        folder = str(AICONFIGURATOR_TOOL.folder) if asked == AICONFIGURATOR else asked
        return str(find_aiconfigurator(folder))
    if not recipe.model.has_r1_sizes:
        return NONE
    if AICONFIGURATOR_TOOL.is_ready:
        return str(AICONFIGURATOR_TOOL.command("python"))
    return RECORDED if rehearsed else NONE


def _refuse_unknown(asked: str, recipe: Recipe) -> None:
    if asked != NONE and not recipe.model.has_r1_sizes:
        raise InputError(
            f"--predictor {asked}: knows R1 and V3 alone, and model.path is {recipe.model.path};"
            " --predictor none measures without"
        )


def describe_predictor(predictor: str) -> str:
    """A sentence for who waits."""
    if predictor == NONE:
        return (
            "nothing predicts (AIConfigurator would, once `dsr1 tune --setup` has made its"
            f" environment, {AICONFIGURATOR_TOOL.room}): the widest mappings come first"
        )
    if predictor == RECORDED:
        return "predicted by what was recorded of aiconfigurator"
    return f"predicted by aiconfigurator ({predictor}), which takes a minute or two"


def predict_space(space: Space, predictor: str, goal: TuneGoal, gpu: str) -> Prediction:
    """LaunchFailed: the predictor did not answer."""
    tables, refused, source = _ask(space, predictor, goal, gpu)
    return predict(space, source, dict(tables), dict(refused), goal)


def _ask(
    space: Space, predictor: str, goal: TuneGoal, gpu: str
) -> tuple[Mapping[str, TimeTable], Mapping[str, str], str]:
    if predictor == NONE:
        return {}, {}, ""
    if predictor == RECORDED:
        known = recorded_tables(gpu)
        tables = {label: known[label] for label in space.mappings if label in known}
        lacking = {
            label: "nothing was recorded of it" for label in space.mappings if label not in known
        }
        return tables, lacking, recorded_source(gpu)
    asked = Aiconfigurator(Path(predictor), gpu)
    tables, refused = predict_mappings(asked, space.mappings.values(), goal.isl, goal.osl)
    return tables, refused, asked.source
