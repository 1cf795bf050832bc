"""What replaces a retired spelling is a key that a recipe has today."""

import pytest

from dsr1.env.retired import FLAGS, VALUES, VARIABLES, Retired
from dsr1.launcher.recipe.engine import Dbo, Engine, Eplb
from dsr1.launcher.recipe.flags import flag_name

ALL = [*VARIABLES.values(), *FLAGS.values(), *VALUES.values()]


@pytest.mark.parametrize("retired", ALL, ids=lambda retired: retired.advice[:30])
def test_its_key_is_one_of_an_engines(retired: Retired) -> None:
    first, _, rest = retired.key.partition(".")
    inner = {"eplb": Eplb.model_fields, "dbo": Dbo.model_fields}
    assert not first or first in Engine.model_fields
    assert first == "args" or not rest or rest in inner[first]


def test_names_are_written_as_they_are_looked_up() -> None:
    assert all(name == name.upper() for name in VARIABLES)
    assert all(flag_name(name) == name for name in FLAGS)
    assert all(flag_name(flag) == flag for flag, _ in VALUES)
    assert FLAGS["is-prefill-worker"].value == "prefill"
