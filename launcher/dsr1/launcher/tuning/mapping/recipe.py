"""A whole recipe with engines in another mapping, as what it changes of the one it extends. Pure,
but for the model's config.json."""

from collections.abc import Iterator, Sequence

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.names import counted
from dsr1.launcher.layout.placement import ROLES, wanted_nodes
from dsr1.launcher.layout.topology import GPUS_PER_NODE
from dsr1.launcher.recipe.layers import Keys, Layer, assign, value_at, without_keys
from dsr1.launcher.recipe.load import Resolved, resolve_tree
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.tuning.mapping.convert import KeyChange, convert_engine
from dsr1.launcher.tuning.mapping.dimensions import (
    ModelConfig,
    parse_dimensions,
    read_model_config,
)
from dsr1.launcher.tuning.mapping.label import ParallelMapping

_LONGEST_NAME = 32


@dataclass(frozen=True, slots=True)
class Conversion:
    """`changes` have the recipe's whole keys; `remarks` are what it leaves to the user."""

    resolved: Resolved
    changes: tuple[KeyChange, ...]
    remarks: tuple[str, ...]
    source: str


def convert_recipe(given: Resolved, to: ParallelMapping, role: str = "") -> Conversion:
    """Every engine, or those of a role. InputError: none has it, or the model can't be divided
    so."""
    config = read_model_config(given.recipe)
    names = _engines(given.recipe, role)
    changes = [change for name in names for change in _engine_changes(given, name, to, config)]
    changes = [*changes, *_job_changes(given.recipe, names), _renamed(given.recipe, to, role)]
    resolved = apply_changes(given, changes)
    remarks = tuple(_remarks(given.recipe, resolved.recipe, names, to))
    return Conversion(resolved, tuple(changes), remarks, config.source)


def apply_changes(given: Resolved, changes: Sequence[KeyChange]) -> Resolved:
    """InputError: what comes out is no recipe."""
    tree = given.tree
    for change in changes:
        tree = _with(tree, tuple(change.key.split(".")), change)
    return resolve_tree(tree, given.local)


def _with(tree: Layer, keys: Keys, change: KeyChange) -> Layer:
    if change.value is not None:
        return assign(tree, keys, change.value, change.why)
    return tree if value_at(tree, keys) is None else without_keys(tree, keys)


def _engines(recipe: Recipe, role: str) -> list[str]:
    if role and role not in ROLES:
        raise InputError(f"--role: {role!r} is none; a role is {', '.join(ROLES)}")
    names = [name for name, engine in recipe.engines.items() if role in ("", engine.role)]
    if not names:
        there = ", ".join(sorted({engine.role for engine in recipe.engines.values()}))
        raise InputError(f"--role {role}: no engine has it; the recipe's are {there}")
    return names


def _engine_changes(
    given: Resolved, name: str, to: ParallelMapping, config: ModelConfig
) -> Iterator[KeyChange]:
    engine = given.recipe.engines[name]
    sizes = parse_dimensions(config, engine.overrides)
    on_cpu = given.recipe.runtime.device == "cpu"
    for change in convert_engine(name, engine, to, sizes, on_cpu=on_cpu):
        key = f"engines.{name}.{change.key}"
        yield KeyChange(key, change.value, change.was, change.why)


def _job_changes(recipe: Recipe, names: Sequence[str]) -> Iterator[KeyChange]:
    """slurm.nodes is for engines on all of them."""
    left = [name for name, one in recipe.engines.items() if one.nodes == "all"]
    if recipe.slurm.nodes and set(left) <= set(names):
        yield KeyChange("slurm.nodes", None, recipe.slurm.nodes, "no engine takes all hosts now")


def _renamed(recipe: Recipe, to: ParallelMapping, role: str) -> KeyChange:
    end = f"-{role}-{to.label}" if role else f"-{to.label}"
    name = recipe.name[: max(1, _LONGEST_NAME - len(end))].rstrip("-") + end
    return KeyChange("name", name, recipe.name, "another recipe")


def _remarks(
    before: Recipe, after: Recipe, names: Sequence[str], to: ParallelMapping
) -> Iterator[str]:
    for name in names:
        yield from _engine_remarks(name, before, after, to)
    now = wanted_nodes(after)
    if after.runtime.device != "cpu":
        yield f"takes {counted(now, 'host')} of {GPUS_PER_NODE} GPUs, at least"


def _engine_remarks(name: str, before: Recipe, after: Recipe, to: ParallelMapping) -> Iterator[str]:
    old, new = before.engines[name], after.engines[name]
    if old.nodes == "all":
        yield f"engines.{name}: took all hosts, and takes {new.nodes} now; replicas fill the others"
    elif isinstance(new.nodes, int) and old.nodes % new.nodes == 0 and old.nodes > new.nodes:
        replicas = old.replicas * old.nodes // new.nodes
        yield f"engines.{name}: replicas: {replicas} would take as many hosts as before"
    if to.dispatches and new.all2all_backend is None:
        usual = "deepep_high_throughput" if new.role == "prefill" else "deepep_low_latency"
        yield (
            f"engines.{name}.all2all_backend: is left to vLLM's default; {usual} is usual for"
            f" {new.role}, where DeepEP is installed"
        )
