"""`dsr1 recipes`: the built-in recipes."""

import json

from dsr1.launcher.cli.options import AsJson


def recipes(as_json: AsJson = False) -> None:
    """List the built-in recipes."""
    from dsr1.launcher.recipe_file import built_in_recipes, describe

    found = {name: describe(file) for name, file in built_in_recipes().items()}
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(f"{name:<12} {description}" for name, description in found.items()))
