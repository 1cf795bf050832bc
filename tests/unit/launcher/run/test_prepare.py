"""What a run is settled on, of recipe and hosts."""

import pytest

from dsr1.hosts.inventory.host import Host
from dsr1.launcher.preflight.survey_result import Survey
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.run.prepare import make_settings

ONE, OTHER = Host("a", "10.0.0.1"), Host("b", "10.0.0.2")


@pytest.mark.parametrize(
    ("hosts", "sets", "alone"),
    [
        ((ONE,), (), False),
        ((ONE, OTHER), (), True),
        ((ONE,), ("restart={max: 1, scope: engine}",), True),
        ((ONE,), ("stack=mocker",), True),
    ],
)
def test_who_maps_a_partners_memory_is_not_restarted_alone(
    hosts: tuple[Host, ...], sets: tuple[str, ...], alone: bool
) -> None:
    """Seen on four H200 (tests/data/h200-x4/deaths/prefill-restarted)."""
    recipe = load_recipe("dsr1-disagg-8gpu", sets, model="/models/R1-4bit")
    assert make_settings(recipe, Survey(hosts, (), (), {}), ()).engine_scope is alone
