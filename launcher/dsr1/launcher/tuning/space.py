"""What may be tried of a recipe on so many hosts: mappings of each engine that dsr1's own checks
let pass, and deployments that they make up. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.host import Host
from dsr1.launcher.layout.placement import make_topology, wanted_nodes
from dsr1.launcher.layout.topology import GPUS_PER_NODE, Group
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.preflight.requirements import make_engine_shape
from dsr1.launcher.recipe.engine import Engine
from dsr1.launcher.recipe.load import Resolved
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.tuning.candidate import Candidate, EnginePart
from dsr1.launcher.tuning.mapping.convert import KeyChange, convert_engine
from dsr1.launcher.tuning.mapping.dimensions import ModelConfig, parse_dimensions
from dsr1.launcher.tuning.mapping.label import ParallelMapping, mapping_of
from dsr1.launcher.tuning.mapping.recipe import apply_changes
from dsr1.launcher.tuning.memory import GPU_BYTES, KvRoom, kv_room

TENSOR = (2, 4, 8)
HALF = GPUS_PER_NODE // 2


@dataclass(frozen=True, slots=True)
class Dropped:
    """What isn't tried, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class EngineOption:
    """An engine in a mapping: one replica of it."""

    part: EnginePart
    changes: tuple[KeyChange, ...]


@dataclass(frozen=True, slots=True)
class Space:
    """`options` by engine; `given` is the recipe as it is on these hosts."""

    given: Candidate
    options: Mapping[str, tuple[EngineOption, ...]]
    dropped: tuple[Dropped, ...]
    hosts: int

    @property
    def mappings(self) -> dict[str, ParallelMapping]:
        """By label, all that a prediction is wanted of."""
        parts = [option.part for options in self.options.values() for option in options]
        return {part.mapping.label: part.mapping for part in (*self.given.parts, *parts)}


def imagined_hosts(count: int) -> tuple[Host, ...]:
    """For looking at what would fit."""
    return tuple(
        Host(f"node{number}", f"192.0.2.{number + 1}", "eth0", GPUS_PER_NODE)
        for number in range(count)
    )


def make_space(given: Resolved, config: ModelConfig, hosts: int, gpu: str) -> Space:
    """InputError: the recipe as it is doesn't fit so many hosts, or isn't one that can be tuned."""
    recipe = given.recipe
    _refuse_shapes(recipe)
    whole = _given(recipe, config, hosts, gpu)
    options: dict[str, tuple[EngineOption, ...]] = {}
    dropped: list[Dropped] = []
    for name, engine in recipe.engines.items():
        found = [
            _try_option(given, config, name, mapping, gpu)
            for mapping in _mappings(engine, hosts * GPUS_PER_NODE)
        ]
        options[name] = tuple(one for one in found if isinstance(one, EngineOption))
        dropped += [one for one in found if isinstance(one, Dropped)]
    return Space(whole, options, tuple(dropped), hosts)


def _refuse_shapes(recipe: Recipe) -> None:
    roles = sorted(engine.role for engine in recipe.engines.values())
    if recipe.runtime.device == "cpu":
        raise InputError("runtime.device: is cpu; tune deals GPUs to engines")
    if roles not in (["aggregated"], ["decode", "prefill"]):
        raise InputError(
            f"engines: tune knows one aggregated engine, or one prefill and one decode engine; the"
            f" recipe has {', '.join(roles)}"
        )


def _given(recipe: Recipe, config: ModelConfig, hosts: int, gpu: str) -> Candidate:
    places = imagined_hosts(hosts)
    topology, plan = make_topology(recipe, places), make_plan(recipe, places, "r", "/r")
    parts, changes = [], []
    for name, engine in recipe.engines.items():
        group = next(group for group in topology.groups if group.engine == name)
        if engine.nodes == "all":
            key, count = f"engines.{name}.nodes", len(group.nodes)
            changes.append(KeyChange(key, count, "all", f"{hosts} hosts are given"))
        room = kv_room(config, make_engine_shape(group, plan), GPU_BYTES[gpu])
        parts.append(_part(name, engine, group, room.tokens))
    return Candidate(tuple(parts), tuple(changes), is_given=True)


def _part(name: str, engine: Engine, group: Group, kv_tokens: int) -> EnginePart:
    return EnginePart(
        name,
        engine.role,
        mapping_of(group),
        engine.replicas,
        engine.max_num_seqs or 0,
        kv_tokens,
    )


def _mappings(engine: Engine, gpus: int) -> Iterator[ParallelMapping]:
    """Of up to so many GPUs: TP, TEP, DP, DEP and mixed ones; wider ones have as many as the
    narrower, doubled."""
    for tensor in (HALF, GPUS_PER_NODE):
        yield ParallelMapping(1, tensor, False)
        yield ParallelMapping(1, tensor, True)
    total = HALF
    while total <= gpus:
        yield ParallelMapping(total, 1, True)
        yield ParallelMapping(total, 1, False)
        for tensor in TENSOR[:2] if total >= GPUS_PER_NODE else ():
            yield ParallelMapping(total // tensor, tensor, True)
            yield ParallelMapping(total // tensor, tensor, False)
        total *= 2


def _try_option(
    given: Resolved, config: ModelConfig, name: str, mapping: ParallelMapping, gpu: str
) -> EngineOption | Dropped:
    what = f"{name} {mapping.label}"
    engine = given.recipe.engines[name]
    try:
        sizes = parse_dimensions(config, engine.overrides)
        changes = [
            KeyChange(f"engines.{name}.{one.key}", one.value, one.was, one.why)
            for one in convert_engine(name, engine, mapping, sizes)
        ]
        changes += _one_replica(name, engine)
        recipe = apply_changes(given, changes).recipe
        group, room = _placed(recipe, config, name, gpu)
    except InputError as error:
        return Dropped(what, " ".join(str(error).removeprefix(f"engines.{name}: ").split()))
    if room.problem:
        return Dropped(what, f"memory: {room.problem}")
    return EngineOption(_part(name, recipe.engines[name], group, room.tokens), tuple(changes))


def _one_replica(name: str, engine: Engine) -> list[KeyChange]:
    if engine.replicas == 1:
        return []
    return [KeyChange(f"engines.{name}.replicas", 1, engine.replicas, "one at first")]


def _placed(recipe: Recipe, config: ModelConfig, name: str, gpu: str) -> tuple[Group, KvRoom]:
    places = imagined_hosts(wanted_nodes(recipe))
    group = next(one for one in make_topology(recipe, places).groups if one.engine == name)
    shape = make_engine_shape(group, make_plan(recipe, places, "r", "/r"))
    return group, kv_room(config, shape, GPU_BYTES[gpu])


def deployments(space: Space) -> Iterator[Candidate]:
    """Every way to deal the hosts' GPUs to the engines' options, all of them used."""
    if len(space.options) == 1:
        ((_, options),) = space.options.items()
        gpus = space.hosts * GPUS_PER_NODE
        yield from (one for option in options if (one := _filled((option,), (gpus,))))
        return
    unit = GPUS_PER_NODE if space.hosts > 1 else HALF
    total = space.hosts * GPUS_PER_NODE
    for pair in product(*space.options.values()):
        for first in range(unit, total, unit):
            if made := _filled(pair, (first, total - first)):
                yield made


def _filled(options: Sequence[EngineOption], gpus: Sequence[int]) -> Candidate | None:
    """None: some GPUs would be left, or neither tensor size divides the other."""
    tensors = [option.part.mapping.tensor for option in options]
    if any(count % one.part.mapping.gpus for one, count in zip(options, gpus, strict=True)):
        return None
    if max(tensors) % min(tensors):
        return None
    parts, changes = [], []
    for option, count in zip(options, gpus, strict=True):
        part = replace(option.part, replicas=count // option.part.mapping.gpus)
        parts.append(part)
        changes += [one for one in option.changes if not one.key.endswith(".replicas")]
        if part.replicas > 1:
            why = f"{count} GPUs, {part.mapping.gpus} a replica"
            changes.append(KeyChange(f"engines.{part.engine}.replicas", part.replicas, 1, why))
    return Candidate(tuple(parts), tuple(changes))
