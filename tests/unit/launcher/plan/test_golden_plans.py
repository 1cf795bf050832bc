"""The plans of R1's recipes, whole.

`python -m tests.unit.launcher.plan.test_golden_plans` rewrites them after a change.
"""

from pathlib import Path

import pytest

from dsr1.hosts.inventory.host import Host
from dsr1.launcher.commands.rehearsal import rehearse
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.plan.render_text import render_text
from dsr1.launcher.recipe.load import RecipeChanges, resolve_recipe

GOLDEN = Path(__file__).parents[3] / "golden" / "plans"
HOSTS = tuple(Host(f"node{n}", f"10.0.0.{n}", f"eth{n}") for n in range(1, 7))
KVBM = (
    "engines.prefill.kv_transfer=kvbm",
    "engines.prefill.ranks_per_node=1",
    "engines.prefill.eplb=null",
)
MANY = ("frontend.replicas=2", "engines.decode.replicas=2")
CASES = {
    "dsr1-dep": ("dsr1-dep", 2, RecipeChanges()),
    "dsr1-vllm": ("dsr1-vllm", 2, RecipeChanges()),
    "dsr1-disagg-h200": ("dsr1-disagg-h200", 4, RecipeChanges()),
    "dsr1-disagg-h100": ("dsr1-disagg-h100", 4, RecipeChanges()),
    "dsr1-disagg-8gpu": ("dsr1-disagg-8gpu", 1, RecipeChanges(model="/models/R1-4bit")),
    "dsr1-disagg-8gpu-fp8": ("dsr1-disagg-8gpu", 2, RecipeChanges(profiles=("fp8-two-hosts",))),
    "disagg-many": ("dsr1-disagg-h200", 6, RecipeChanges(settings=MANY)),
    "disagg-kvbm": ("dsr1-disagg-h200", 4, RecipeChanges(settings=KVBM)),
}
WHOLE = ("dsr1-dep", "dsr1-vllm", "dsr1-disagg-h200", "dsr1-disagg-8gpu")


def rendered(case: str) -> str:
    recipe, hosts, changes = CASES[case]
    return (
        render_text(
            make_plan(
                resolve_recipe(recipe, changes).recipe, HOSTS[:hosts], "golden", "/run/golden"
            )
        )
        + "\n"
    )


@pytest.mark.parametrize("case", WHOLE)
def test_plan_is_as_it_was(case: str) -> None:
    assert rendered(case) == (GOLDEN / f"{case}.txt").read_text()


@pytest.mark.parametrize("case", CASES)
def test_no_two_processes_of_a_host_share_a_port(case: str) -> None:
    recipe, hosts, changes = CASES[case]
    for host in make_plan(
        resolve_recipe(recipe, changes).recipe, HOSTS[:hosts], "golden", "/run/golden"
    ).hosts:
        ports = [port for process in host.processes for port in process.ports]
        assert len(ports) == len(set(ports))


@pytest.mark.parametrize("case", CASES)
def test_a_rehearsal_keeps_hosts_ports_and_order(case: str) -> None:
    name, hosts, changes = CASES[case]
    recipe = resolve_recipe(name, changes).recipe
    real = make_plan(recipe, HOSTS[:hosts], "r", "/run/r")
    rehearsed = make_plan(rehearse(recipe), HOSTS[:hosts], "r", "/run/r")
    engines = [
        (p.name, p.host, p.wave, p.ranks, set(p.ports) - {8000}) for p in real.processes if p.ranks
    ]
    assert [(p.name, p.host, p.wave, p.ranks) for p in rehearsed.processes if p.ranks] == [
        row[:4] for row in engines
    ]
    if recipe.stack == "dynamo":
        assert [set(p.ports) for p in rehearsed.processes if p.ranks] == [row[4] for row in engines]


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name in WHOLE:
        (GOLDEN / f"{name}.txt").write_text(rendered(name))
