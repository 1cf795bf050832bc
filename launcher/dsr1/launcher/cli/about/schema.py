"""`dsr1 schema`: the forms of recipes, of site files and of answers, for editors and programs."""

import json
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from dsr1.hosts.errors import InputError
from dsr1.launcher.cli.answers.envelope import ANSWER
from dsr1.launcher.cli.answers.kinds import KINDS, answer_schema
from dsr1.launcher.recipe.explain import LAYER_KEYS, suggestion
from dsr1.launcher.recipe.models import Recipe
from dsr1.launcher.recipe.parse import SCHEMA
from dsr1.launcher.site.models import Site

DRAFT = "https://json-schema.org/draft/2020-12/schema"
FORMS: dict[str, type[BaseModel]] = {"recipe": Recipe, "site": Site}
ANSWERS = {f"{kind}-answer" if kind in FORMS else kind: kind for kind in KINDS}
_LAYERS: dict[str, Any] = {
    "extends": {"type": "string", "description": "A recipe to change: built in, or a file."},
    "profile": {"type": "string", "description": "One of the profiles, or a file of keys."},
    "profiles": {"type": "object", "description": "Named sets of changes."},
}


def schema(
    form: Annotated[
        str,
        typer.Argument(
            metavar="[recipe|site|KIND]", help="A file's form, or that of an answer, by its kind."
        ),
    ] = "recipe",
) -> None:
    """Print the JSON schema of a recipe, of a site file or of an answer.

    A recipe's first line may name it: # yaml-language-server: $schema=FILE.
    """
    if form not in (known := (*FORMS, *ANSWERS)):
        near = suggestion(form, known)
        more = "" if near else f"; there are {', '.join(known)}"
        raise InputError(f"{form!r} has no schema{near}{more}")
    made = make_schema(form)
    ANSWER.put("schema", made)
    if not ANSWER.is_wanted:
        print(json.dumps(made, indent=2))


def make_schema(form: str) -> dict[str, Any]:
    """A recipe that extends another need not be whole, so no key is required of one."""
    if form in ANSWERS:
        return {"$schema": DRAFT, **answer_schema(ANSWERS[form])}
    made = FORMS[form].model_json_schema()
    made["properties"]["schema"] = {"const": SCHEMA, "description": "Of this file."}
    if form == "recipe":
        assert set(_LAYERS) == set(LAYER_KEYS)
        made["properties"] |= _LAYERS
        made.pop("required", None)
    return {"$schema": DRAFT, **made}
