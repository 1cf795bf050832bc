"""Every stack by its name in the recipe: a module each, and a row in recipe/stacks.py."""

from collections.abc import Mapping

from dsr1.launcher.commands.dynamo import DYNAMO
from dsr1.launcher.commands.mocker import MOCKER
from dsr1.launcher.commands.vllm import VLLM
from dsr1.launcher.layout.context import Stack
from dsr1.launcher.recipe.models import Recipe

STACKS: Mapping[str, Stack] = {"dynamo": DYNAMO, "vllm": VLLM, "mocker": MOCKER}


def stack_of(recipe: Recipe) -> Stack:
    return STACKS[recipe.stack]
