"""Another recipe for a deployment that serves: what that changes, and the steps that lead there."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.access import Access
from dsr1.launcher.layout.pinned import PinnedEngine
from dsr1.launcher.layout.slots import FRONTEND
from dsr1.launcher.lifecycle.changes import ADD, REMOVE, START, STOP, ChangeStep, WantedChange
from dsr1.launcher.lifecycle.deployment import EngineUnit
from dsr1.launcher.operate.changes import engines_of, who_asks
from dsr1.launcher.operate.versions import NextVersion, make_steps
from dsr1.launcher.plan.engine_exchange import own_processes
from dsr1.launcher.plan.plan import Plan
from dsr1.launcher.plan.retry import changed_groups
from dsr1.launcher.preflight.survey_result import Survey
from dsr1.launcher.recipe.engine import Engine
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.recipe.transfer import transfer_problem
from dsr1.launcher.run.prepare import make_settings
from dsr1.launcher.run.record.history import read_history
from dsr1.launcher.run.settings import RunSettings
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.supervision.changing.changes import ask_for
from dsr1.launcher.run.supervision.changing.versions import ChangeGoal

# A deployment is of one model, stack and network. The lengths are in Dynamo's card of the model:
# its frontend takes workers of one card only (lib/llm/src/model_card.rs, mdcsum).
# Secrets came to the hosts with their agents.
FIXED = ("stack", "model", "runtime.device", "ports", "etcd", "security", "spares", "hca")
SECRET = ("frontend.tls", "frontend.api_key_file")
CARD = (".max_model_len", ".args.block-size")
UNTOLD = ("name", "description")


@dataclass(frozen=True, slots=True)
class KeyDifference:
    """A key of the recipe, and its values as text; empty: it isn't there."""

    key: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Update:
    """What would be changed. `alone`: engines that nothing else serves for while they start;
    `start_s`: what one start took lately, 0: not known."""

    steps: tuple[ChangeStep, ...]
    goal: ChangeGoal
    differences: tuple[KeyDifference, ...]
    alone: tuple[str, ...]
    start_s: float

    @property
    def starts(self) -> int:
        return sum(step.what in (ADD, START) for step in self.steps)


def plan_update(run: Run, recipe: Recipe, accesses: Sequence[Access]) -> Update:
    """InputError: it can't be changed while it serves; HostError, CheckFailed: a host can't be one
    of it."""
    engines = engines_of(run)
    recipe = Recipe.model_validate_json(recipe.model_dump_json())  # numbers as the run's own
    coming = NextVersion(run, recipe)
    differences = tuple(compare_recipes(coming.running, coming.recipe))
    _refuse_fixed(run.name, differences)
    _refuse_strangers(run.name, coming.running, coming.recipe)
    coming.take_hosts(accesses)
    coming.settings = settings_for(recipe, coming.settings)
    _place_all(coming, coming.running, coming.recipe)
    _exchange(coming)
    alone = tuple(_alone(coming.steps, engines))
    return Update(tuple(coming.steps), coming.goal(), differences, alone, last_start_s(run))


def settings_for(recipe: Recipe, settings: RunSettings) -> RunSettings:
    """As the recipe has them; hosts, and what was chosen for them, stay."""
    survey = Survey(settings.machines, settings.spares, settings.hosts, {})
    made = make_settings(recipe, survey, settings.checks)
    return replace(made, replaced=settings.replaced, engine_scope=settings.engine_scope)


def _place_all(coming: NextVersion, running: Recipe, recipe: Recipe) -> None:
    """Replicas that are too many go first: others may need their room. What the recipe doesn't have
    any more goes last: until then it serves."""
    kept = [one for one in coming.pins.engines if one.engine in recipe.engines]
    gone = [one for one in coming.pins.engines if one.engine not in recipe.engines]
    surplus = [one for name in recipe.engines for one in _surplus(kept, recipe, name)]
    _remove(coming, surplus)
    for one in (one for one in kept if one not in surplus):
        if _shape(running.engines[one.engine]) != _shape(recipe.engines[one.engine]):
            coming.pins = coming.pins.without(one.name)
            coming.place(one.engine, one.name)
    for name, engine in recipe.engines.items():
        for _ in range(engine.replicas - len(coming.pins.of(name))):
            added = coming.free_name(name)
            coming.place(name, added)
            coming.steps += make_steps(ADD, [added])
    _remove(coming, gone)


def _remove(coming: NextVersion, engines: Sequence[PinnedEngine]) -> None:
    for one in engines:
        coming.pins = coming.pins.without(one.name)
        coming.steps += make_steps(REMOVE, [one.name])


def _surplus(kept: Sequence[PinnedEngine], recipe: Recipe, name: str) -> Sequence[PinnedEngine]:
    return [one for one in kept if one.engine == name][recipe.engines[name].replicas :]


def _shape(engine: Engine) -> tuple[object, ...]:
    """What decides how many GPUs and ports it has on how many hosts."""
    sizes = (engine.nodes, engine.ranks_per_node, engine.data_parallel_size)
    kinds = (engine.layout, engine.kv_events, engine.connectors)
    return (*sizes, engine.tensor_parallel_size, *kinds)


def _exchange(coming: NextVersion) -> None:
    """What runs otherwise now: beside it first where a host is free, else in its place."""
    before, steps = coming.before.plan, coming.steps
    changed = changed_groups(before, coming.made().plan) - {step.engine for step in steps}
    exchanged: list[ChangeStep] = []
    for one in coming.pins.engines:
        if one.name in changed:
            exchanged += _exchange_engine(coming, one)
    frontends = sorted(name for name in changed if _is_alike(name, before, coming.made().plan))
    for name in frontends:
        exchanged += [ChangeStep(STOP, name), ChangeStep(START, name)]
    first = [step for step in steps if step.what == REMOVE and _is_kept(coming, step.engine)]
    last = [step for step in steps if step not in first]
    coming.steps = [*first, *exchanged, *last]


def _is_kept(coming: NextVersion, name: str) -> bool:
    """Whether others of its engine stay."""
    return any(name.startswith(f"{engine}-r") or name == engine for engine in coming.recipe.engines)


def _exchange_engine(coming: NextVersion, one: PinnedEngine) -> list[ChangeStep]:
    fresh = coming.free_name(one.engine)
    if coming.place_free(one.engine, fresh):
        coming.pins = coming.pins.without(one.name)
        return [ChangeStep(ADD, fresh), ChangeStep(REMOVE, one.name)]
    return [ChangeStep(STOP, one.name), ChangeStep(START, one.name)]


def _is_alike(group: str, before: Plan, after: Plan) -> bool:
    """A frontend, at the same address."""
    old, new = (
        {(one.host, one.ports) for one in own_processes(plan, group)} for plan in (before, after)
    )
    return group.partition("-")[0] == FRONTEND and old == new


def _alone(steps: Sequence[ChangeStep], engines: Mapping[str, EngineUnit]) -> Iterator[str]:
    for step in steps:
        one = engines.get(step.engine)
        if step.what == STOP and one and sum(o.role == one.role for o in engines.values()) == 1:
            yield step.engine


def compare_recipes(before: Recipe, after: Recipe) -> Iterator[KeyDifference]:
    old, new = (dict(_flat(recipe.model_dump())) for recipe in (before, after))
    for key in dict.fromkeys((*old, *new)):
        if old.get(key) != new.get(key) and key not in UNTOLD:
            yield KeyDifference(key, old.get(key, ""), new.get(key, ""))


def _flat(value: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Nothing is told of what isn't set."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _flat(part, f"{key}.{name}" if key else str(name))
    elif value is not None:
        yield key, str(value)


def _refuse_fixed(run: str, differences: Sequence[KeyDifference]) -> None:
    for one in differences:
        fixed = any(f"{one.key}.".startswith(f"{key}.") for key in (*FIXED, *SECRET))
        in_card = one.key.startswith("engines.") and one.key.endswith(CARD)
        if (fixed or in_card) and one.key.partition(".")[2] != "experts":
            raise InputError(
                f"{run}: {one.key} is {one.before or 'not set'}, and the recipe has"
                f" {one.after or 'nothing'}: that can't be changed while it serves; stop the run,"
                " and launch it anew"
            )


def _refuse_strangers(run: str, running: Recipe, recipe: Recipe) -> None:
    """Halfway a new prefill hands over to an old decode, or the other way round."""
    for name, engine in recipe.engines.items():
        between = {**running.engines, name: engine}
        if not recipe.traits.simulated and (
            problem := transfer_problem(between, recipe.runtime.env)
        ):
            raise InputError(f"{run}: in the middle of it {problem}; stop the run, launch it anew")


def last_start_s(run: Run) -> float:
    """From an engine's start until it served, the last time; else the deployment's."""
    began: dict[str, float] = {}
    took = run.state().ready_after or 0.0
    for change in read_history(run):
        if change.what == "starting":
            began[change.engine] = change.time
        elif change.what == "serving" and change.engine in began:
            took = change.time - began.pop(change.engine)
    return took


def want_update(run: Run, update: Update, verb: str) -> WantedChange:
    """InputError: another change is going on."""
    change = WantedChange("update", update.steps, who_asks(), verb, time.time(), undoes=True)
    ask_for(run, change, update.goal)
    return change
