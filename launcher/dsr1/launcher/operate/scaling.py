"""More or fewer replicas of a deployment that serves."""

import time
from collections.abc import Mapping, Sequence

from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.access import Access
from dsr1.launcher.layout.pinned import PinnedEngine
from dsr1.launcher.lifecycle.changes import ADD, REMOVE, WantedChange
from dsr1.launcher.lifecycle.deployment import EngineUnit
from dsr1.launcher.operate.changes import engines_of, who_asks
from dsr1.launcher.operate.versions import NextVersion, make_steps, with_values
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.recipe.types import MOST_NODES
from dsr1.launcher.run.store import Run
from dsr1.launcher.run.supervision.changing.changes import ask_for

EXAMPLE = "it is ENGINE=REPLICAS, for example decode=3"


def parse_scale(wanted: Sequence[str]) -> dict[str, int]:
    """Replicas by engine. InputError."""
    found: dict[str, int] = {}
    for one in wanted:
        name, equals, count = one.partition("=")
        if not (name and equals and count.isascii() and count.isdecimal()):
            raise InputError(f"{one!r}: {EXAMPLE}")
        if name in found:
            raise InputError(f"{name}: is given twice")
        found[name] = int(count[:9])
    return found


def want_scale(
    run: Run, wanted: Mapping[str, int], accesses: Sequence[Access], verb: str
) -> WantedChange | None:
    """None: it has so many already. InputError: it can't; HostError, CheckFailed: a host can't be
    one of it."""
    engines, recipe = engines_of(run), run.recipe()
    _refuse_scale(run, recipe, wanted)
    coming = NextVersion(run, with_values(run.name, recipe, wanted))
    coming.take_hosts(accesses)
    for name, count in wanted.items():
        surplus = _surplus(coming.pins.of(name), engines, count)
        coming.steps += make_steps(REMOVE, surplus)
        for one in surplus:
            coming.pins = coming.pins.without(one)
    for name, count in wanted.items():
        added = [coming.free_name(name) for _ in range(count - len(coming.pins.of(name)))]
        coming.steps += make_steps(ADD, added)
        for one in added:
            coming.place(name, one)
    if not coming.steps:
        return None
    goal = coming.goal()
    steps = tuple(coming.steps)
    change = WantedChange("scale", steps, who_asks(), verb, time.time(), undoes=True)
    ask_for(run, change, goal)
    return change


def _surplus(
    own: Sequence[PinnedEngine], engines: Mapping[str, EngineUnit], count: int
) -> list[str]:
    """Those that don't serve first, then the youngest."""
    names = [one.name for one in own]
    idle = [name for name in names if engines[name].state.phase != "serving"]
    order = [*idle, *(name for name in reversed(names) if name not in idle)]
    return order[: max(0, len(names) - count)]


def _refuse_scale(run: Run, recipe: Recipe, wanted: Mapping[str, int]) -> None:
    for name, count in wanted.items():
        if name not in recipe.engines:
            known = ", ".join(recipe.engines)
            raise InputError(f"{name}: is no engine of {run.name}'s recipe; it has {known}")
        if count == 0:
            raise InputError(
                f"{name}=0: one at least has to serve; `dsr1 stop {run.name}` ends the run"
            )
        if count > MOST_NODES:
            raise InputError(f"{name}={count}: is more than dsr1 places ({MOST_NODES})")
    if recipe.traits.own_servers:
        raise InputError(
            f"{run.name}: with stack vllm every engine is a server behind the gateway, which would"
            " have to be started anew; stop the run, and launch it anew"
        )
