"""A file for a newer dsr1 is told from one with an unknown key."""

import pytest

from dsr1.hosts.errors import InputError
from dsr1.launcher.recipe.parse import parse_layer


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("2", r"r.yaml:2: schema: a recipe of schema 2 is for a newer dsr1; this one knows 1"),
        ("0", "schema: is 0; it must be 1"),
        ("true", "schema: is True; it must be 1"),
        ("new", "schema: is 'new'; it must be 1"),
    ],
)
def test_another_schema_is_refused(schema: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_layer(f"name: a\nschema: {schema}\nnever-heard-of: 1\n", "r.yaml")


@pytest.mark.parametrize("text", ["name: a\nschema: 1\n", "name: a\n"])
def test_this_one_is_no_key_of_the_recipe(text: str) -> None:
    assert parse_layer(text, "r.yaml").values == {"name": "a"}
