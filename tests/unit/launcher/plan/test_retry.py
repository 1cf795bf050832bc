"""A further attempt differs in its namespace alone."""

from dsr1.hosts.inventory.host import Host, this_machine
from dsr1.launcher.plan.plan import PREVIEW_RUN_ID, make_plan
from dsr1.launcher.plan.retry import plan_again, replace_hosts
from dsr1.launcher.recipe.load import parse_recipe


def test_only_the_namespace_differs() -> None:
    recipe = parse_recipe("name: t\nmodel: {path: /m}\nengines: {main: {}}\n", "t")
    plan = make_plan(recipe, this_machine(1, 8), "my-run", "/run")
    again = plan_again(plan, 2)
    assert [process.argv for process in again.processes] == [
        process.argv for process in plan.processes
    ]
    for before, after in zip(plan.processes, again.processes, strict=True):
        changed = {v.name: v.value for v in set(after.env) - set(before.env)}
        assert changed == {"DYN_NAMESPACE": f"my_run_{PREVIEW_RUN_ID}_2"}


def test_a_spare_stands_where_the_lost_host_was() -> None:
    a, b, c, d = (Host(name, f"10.0.0.{n}") for n, name in enumerate("abcd"))
    assert replace_hosts((a, b), (c, d), {"a"}) == (c, b)
    assert replace_hosts((a, b), (c, d), {"b", "c"}) == (a, d)
    assert replace_hosts((a, b), (c,), {"a", "b"}) is None
    assert replace_hosts((a, b), (), set()) == (a, b)
