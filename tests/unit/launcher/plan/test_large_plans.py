"""Large plans: work grows with the hosts, counted in the interpreter's instructions, not seconds."""

import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import pytest

from dsr1.hosts.inventory.host import Host
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.recipe.load import parse_recipe
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.recipe.stacks import STACK_TRAITS

ENGINE = "{layout: %s, nodes: all, ranks_per_node: 8}"
HOSTS = tuple(Host(f"h{n}", f"10.0.{n // 250}.{n % 250 + 1}", "eth0") for n in range(64))


def recipe_of(stack: str, engine: str) -> Recipe:
    text = (
        f"name: t\nmodel: {{path: /m, experts: 256}}\nstack: {stack}\nengines: {{main: {engine}}}\n"
    )
    return parse_recipe(text, "t")


def instructions(work: Callable[[], object]) -> int:
    """How many the interpreter carries out."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def growth(recipe: Recipe, few: int, many: int) -> float:
    """Of the work, beside that of the hosts: 1 where both grow alike."""
    counts = [instructions(partial(make_plan, recipe, HOSTS[:n], "r", "/r")) for n in (few, many)]
    return counts[1] / counts[0] / (many / few)


@pytest.mark.parametrize("stack", STACK_TRAITS)
@pytest.mark.parametrize("layout", ["per_node", "per_gpu", "headless"])
def test_the_work_grows_with_the_hosts(stack: str, layout: str) -> None:
    assert growth(recipe_of(stack, ENGINE % layout), 8, 32) < 1.05
