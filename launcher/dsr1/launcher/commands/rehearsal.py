"""A rehearsal: any recipe with Dynamo's engine simulator in the place of vLLM. Pure.

Everything else is the deployment's own: hosts, processes, variables, ports, the order of the start,
readiness, smoke and stop. A host without GPUs stands in for one that has them. The weights of a hub
id aren't needed either: the simulator reads a config.json and a tokenizer, and dsr1 brings small
ones (R1's dimensions, a token for each byte).
"""

from dsr1.launcher.commands.mocker import STAND_IN
from dsr1.launcher.recipe.models import Recipe


def rehearse(recipe: Recipe) -> Recipe:
    """vLLM's own arguments mean nothing to the simulator; sizes, roles, transfers and events do."""
    engines = {
        name: engine.model_copy(update={"args": {}}) for name, engine in recipe.engines.items()
    }
    named = {
        "served_name": recipe.model.name,
        "path": recipe.model.path if recipe.model.is_folder else STAND_IN,
    }
    model = recipe.model.model_copy(update=named)
    frontend = recipe.frontend.model_copy(update={"api_key_file": None})  # Dynamo's knows none
    changes = {"stack": "mocker", "engines": engines, "model": model, "frontend": frontend}
    return recipe.model_copy(update=changes)


def needs_stand_in(recipe: Recipe) -> bool:
    return recipe.traits.simulated and recipe.model.path == STAND_IN
