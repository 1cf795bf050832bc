"""Notes on stderr, where a plain launch may not be what was meant."""

import pytest

from dsr1.hosts.inventory.host import Host
from dsr1.launcher.cli.views.notes import note_open_frontend
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.recipe.load import load_recipe


@pytest.mark.parametrize(
    ("hosts", "settings", "said"),
    [(2, [], True), (1, [], False), (2, ["frontend.tls={cert: /c, key: /k}"], False)],
)
def test_who_launches_over_several_hosts_hears_of_an_open_frontend(
    capsys: pytest.CaptureFixture[str], hosts: int, settings: list[str], said: bool
) -> None:
    recipe = load_recipe("dsr1-dep", settings, model="/m", venv="/v")
    machines = [Host(f"n{number}", f"10.0.0.{number}") for number in range(1, hosts + 1)]
    note_open_frontend(make_plan(recipe, machines, "r", "/r"))
    assert ("plain HTTP" in capsys.readouterr().err) is said
