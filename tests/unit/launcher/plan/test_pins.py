"""What runs stays where it is when a deployment grows."""

import pytest

from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.host import Host
from dsr1.launcher.layout.pinned import Pins
from dsr1.launcher.layout.pins import grow, make_pins
from dsr1.launcher.operate.versions import with_values
from dsr1.launcher.plan.engine_exchange import (
    idle_hosts,
    own_processes,
    with_engine,
    without_engine,
    without_idle_hosts,
)
from dsr1.launcher.plan.plan import Plan, make_plan
from dsr1.launcher.plan.retry import changed_groups
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.recipe.models import Recipe

HOSTS = tuple(Host(f"n{number}", f"10.0.0.{number}", "eth0") for number in range(5))
MODEL = "/models/DeepSeek-R1"
RECIPES = (
    load_recipe("dsr1-dep", model=MODEL),
    load_recipe("dsr1-disagg-8gpu", model=MODEL),
    load_recipe("dsr1-dep", ["engines.main={nodes: 1, replicas: 2}", "frontend.replicas=2"]),
    load_recipe("dsr1-dep", ["engines.main={nodes: 2, layout: per_gpu}"], model=MODEL),
    load_recipe("dsr1-disagg-h200", ["engines.decode.nodes=1"], model=MODEL),
)


def planned(recipe: Recipe, hosts: tuple[Host, ...], pins: Pins | None = None) -> Plan:
    return make_plan(recipe, hosts, "r", "/r", pins=pins)


def hosts_for(recipe: Recipe) -> tuple[Host, ...]:
    """Two machines at least: one alone has neither etcd nor TLS."""
    return HOSTS[: max(2, sum(one.least_nodes for one in recipe.engines.values()))]


@pytest.mark.parametrize("recipe", RECIPES)
def test_pinned_it_is_the_plan_that_it_was(recipe: Recipe) -> None:
    hosts = hosts_for(recipe)
    assert planned(recipe, hosts, make_pins(recipe, hosts)) == planned(recipe, hosts)


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_runs_is_not_touched_by_one_more(recipe: Recipe) -> None:
    hosts, name = hosts_for(recipe), list(recipe.engines)[-1]
    before = planned(recipe, hosts)
    more = with_values("r", recipe, {name: recipe.engines[name].replicas + 1})
    wide = (*hosts, *(Host(f"m{n}", f"10.0.1.{n}", "eth0") for n in range(3)))
    pins = grow(more, wide, make_pins(recipe, hosts), name, f"{name}-r9")
    after = planned(more, wide, pins)
    assert changed_groups(before, after) == {f"{name}-r9"}
    ports = [(one.host, port) for one in after.processes for port in one.ports]
    assert len(set(ports)) == len(ports)
    grown = with_engine(before, after, f"{name}-r9")
    assert set(grown.processes) == set(after.processes)
    assert set(grown.ranks) == set(after.ranks)
    assert set(grown.service.workers) == set(after.service.workers)
    assert grown.service.registrations == after.service.registrations
    left = without_engine(grown, f"{name}-r9")
    assert set(left.processes) == set(before.processes)
    assert without_idle_hosts(left).hosts == before.hosts
    assert set(idle_hosts(left)) <= {host.name for host in wide}


def test_a_gpu_is_never_given_twice_and_what_is_freed_is_given_again() -> None:
    recipe = load_recipe(
        "dsr1-dep", ["engines.main={nodes: 1, data_parallel_size: 4}"], model=MODEL
    )
    pins = grow(recipe, HOSTS[:1], make_pins(recipe, HOSTS[:1]), "main", "b")
    assert [node.devices for one in pins.engines for node in one.nodes] == [
        (0, 1, 2, 3),
        (4, 5, 6, 7),
    ]
    with pytest.raises(InputError, match=r"c needs 1 hosts with 4 free GPUs each; 0 of n0 have"):
        grow(recipe, HOSTS[:1], pins, "main", "c")
    again = grow(recipe, HOSTS[:1], pins.without("main"), "main", "c")
    assert again.engines[-1].nodes[0].devices == (0, 1, 2, 3)
    with pytest.raises(InputError):
        grow(recipe, HOSTS[:1], pins.without("main"), "main", "c", free=True)
    assert grow(recipe, HOSTS[:2], pins, "main", "c", free=True).engines[-1].nodes[0].host == 1


def test_an_engine_is_exchanged_in_its_place() -> None:
    before = planned(RECIPES[2], HOSTS[:2])
    other = load_recipe(
        "dsr1-dep",
        ["engines.main={nodes: 1, replicas: 2, max_num_seqs: 7}", "frontend.replicas=2"],
    )
    after = planned(other, HOSTS[:2])
    half = with_engine(before, after, "main-r0")
    assert own_processes(half, "main-r0") == own_processes(after, "main-r0")
    assert own_processes(half, "main-r1") == own_processes(before, "main-r1")
    assert [host.host for host in half.hosts] == [host.host for host in before.hosts]
    assert with_engine(half, before, "main-r0").service.registrations == 2
