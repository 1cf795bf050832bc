"""Plans: ranks, argv, ports and devices, exactly."""

import json
from itertools import pairwise

import pytest

from dsr1.hosts.errors import InputError
from dsr1.hosts.inventory.host import Host, this_machine
from dsr1.hosts.protocol.runtime import RuntimeAnswer
from dsr1.launcher.cli.answers.envelope import render_envelope
from dsr1.launcher.commands.stacks import STACKS
from dsr1.launcher.plan.plan import Plan, make_plan
from dsr1.launcher.plan.render_text import render_text
from dsr1.launcher.plan.retry import plan_again
from dsr1.launcher.plan.runtime_knowledge import runtime_fact
from dsr1.launcher.recipe.load import load_recipe, parse_recipe
from dsr1.launcher.recipe.stacks import STACK_TRAITS

TWO = (Host("a", "10.0.0.1", "eth0"), Host("b", "10.0.0.2", "eth1"))


def planned(
    engines: str, hosts: tuple[Host, ...] = TWO, stack: str = "dynamo", more: str = ""
) -> Plan:
    text = f"name: t\nmodel: {{path: /m}}\nstack: {stack}\nengines: {{{engines}}}\n{more}"
    return make_plan(parse_recipe(text, "t.yaml"), hosts, "t-1", "/run/t-1")


def argv(plan: Plan, name: str) -> str:
    return " ".join(next(process.argv for process in plan.processes if process.name == name))


def test_dsr1_dep_over_two_hosts() -> None:
    plan = make_plan(load_recipe("dsr1-dep"), TWO, "r", "/run/r")
    assert [p.name for p in plan.processes] == ["etcd", "frontend", "main-0", "main-1"]
    assert [rank.rank for rank in plan.ranks] == list(range(16))
    assert plan.service.registrations == 2
    assert (
        "--data-parallel-size 16 --data-parallel-hybrid-lb --data-parallel-size-local 8"
        " --data-parallel-start-rank 8 --data-parallel-address 10.0.0.1 --data-parallel-rpc-port"
        " 20002 --enable-expert-parallel --all2all-backend deepep_low_latency"
        in argv(plan, "main-1")
    )


def test_one_rank_a_node_is_external() -> None:
    plan = planned("main: {ranks_per_node: 1}")
    assert "--data-parallel-rank 1" in argv(plan, "main-1")
    assert "hybrid" not in argv(plan, "main-1")
    assert plan.service.registrations == 2


def test_headless_registers_the_leader_alone() -> None:
    plan = planned("main: {layout: headless, ranks_per_node: 2}", stack="vllm")
    assert "--headless --data-parallel-start-rank 2" in argv(plan, "main-1")
    assert "--headless" not in argv(plan, "main-0")
    assert plan.service.registrations is None


def test_two_engines_split_one_host() -> None:
    engine = "{role: %s, nodes: 1, ranks_per_node: 4}"
    plan = planned(f"p: {engine % 'prefill'}, d: {engine % 'decode'}", TWO[:1])
    seen = {
        p.name: {v.name: v.value for v in p.env}.get("CUDA_VISIBLE_DEVICES") for p in plan.processes
    }
    assert (seen["p-0"], seen["d-0"]) == ("0,1,2,3", "4,5,6,7")
    ports = [port for process in plan.processes for port in process.ports]
    assert len(ports) == len(set(ports))
    assert max(ports) < 32768


def test_nodes_of_one_machine_share_no_port() -> None:
    plan = planned("main: {nodes: 3, ranks_per_node: 2}", this_machine(3, 8))
    ports = [port for process in plan.processes for port in process.ports]
    assert len(ports) == len(set(ports))


def test_interfaces_are_each_hosts_own_and_exact() -> None:
    plan = planned("main: {}")
    env = {p.host: {v.name: v.value for v in p.env} for p in plan.processes if p.ranks}
    assert env["b"]["GLOO_SOCKET_IFNAME"] == "eth1"
    assert env["b"]["NCCL_SOCKET_IFNAME"] == "=eth1"
    assert env["a"]["VLLM_HOST_IP"] == "10.0.0.1"


def test_hosts_without_facts_are_named() -> None:
    plan = make_plan(load_recipe("dsr1-dep"), TWO, "r", "/run/r", {"a": {}})
    assert plan.notes[:2] == (
        "b: planned without facts; what follows from their adapters is left out",
        "a: no adapters are set: its facts list no adapters",
    )


def test_users_value_wins_and_says_so() -> None:
    plan = planned("main: {env: {VLLM_HOST_IP: 10.9.9.9}}")
    found = {v for p in plan.processes if p.ranks for v in p.env if v.name == "VLLM_HOST_IP"}
    assert {(v.value, v.source) for v in found} == {("10.9.9.9", "recipe engines.main.env")}


@pytest.mark.parametrize(
    ("engines", "more", "wanted"),
    [
        ("main: {data_parallel_size: 3}", "", "3 can't be divided evenly among 2 hosts"),
        ("main: {nodes: 3}", "", "needs 3 hosts"),
        ("main: {nodes: 1, ranks_per_node: 9}", "", "takes 9 GPUs of each"),
        ("main: {}", "ports: {base: 32760}", "ephemeral"),
        ("main: {}", "frontend: {port: 20003}", "lies among the ports"),
    ],
)
def test_what_cannot_be_laid_out_is_refused(engines: str, more: str, wanted: str) -> None:
    with pytest.raises(InputError, match=wanted):
        planned(engines, more=more)


def test_vllms_servers_stand_behind_one_address() -> None:
    """Each replica has its own, on its leader's host; etcd's gateway deals connections out to
    them."""
    plan = planned("main: {nodes: 1, replicas: 2, ranks_per_node: 2}", stack="vllm")
    assert [p.name for p in plan.processes] == ["gateway", "main-r0-0", "main-r1-0"]
    assert "--host 10.0.0.1 --port 20002" in argv(plan, "main-r0-0")
    assert "--host 10.0.0.2 --port 20003" in argv(plan, "main-r1-0")
    assert argv(plan, "gateway").endswith(
        "--endpoints 10.0.0.1:20002,10.0.0.2:20003 --retry-delay 1s"
    )
    assert plan.service.frontend_urls == ("http://10.0.0.1:20002", "http://10.0.0.2:20003")
    assert (plan.service.url, plan.service.registrations) == ("http://10.0.0.1:8000", None)
    assert [(w.process, w.ranks, w.url) for w in plan.service.workers] == [
        ("main-r0-0", (0, 1), "http://10.0.0.1:20002"),
        ("main-r1-0", (0, 1), "http://10.0.0.2:20003"),
    ]


@pytest.mark.parametrize(
    ("engine", "ranks"),
    [
        ("layout: headless, ranks_per_node: 2", [(0, 1, 2, 3)]),
        ("layout: per_node, ranks_per_node: 2", [(0, 1), (2, 3)]),
        ("layout: per_gpu, ranks_per_node: 2", [(0,), (1,), (2,), (3,)]),
    ],
)
def test_a_server_of_vllms_has_the_ranks_of_its_process(
    engine: str, ranks: list[tuple[int, ...]]
) -> None:
    plan = planned(f"main: {{{engine}}}", stack="vllm")
    assert [worker.ranks for worker in plan.service.workers] == ranks
    for host in plan.hosts:
        ports = [port for process in host.processes for port in process.ports]
        assert len(ports) == len(set(ports))
    assert ("gateway" in [p.name for p in plan.processes]) == (len(ranks) > 1)


@pytest.mark.parametrize("value", ["a b", "';id", "x,y", '{"a": 1}', "$(id)", "--x"])
def test_hostile_values_stay_one_argument(value: str) -> None:
    plan = planned(f"main: {{args: {{load-format: {json.dumps(value)}}}}}", this_machine(1, 8))
    assert value in plan.processes[-1].argv
    assert json.loads(render_envelope("plan", plan))["data"]["hosts"][0]["processes"][-1][
        "argv"
    ] == list(plan.processes[-1].argv)
    assert render_text(plan)


def test_setup_lines_never_touch_the_command() -> None:
    plan = planned("main: {}", more="runtime: {setup: [module load cuda]}")
    assert plan.processes[-1].argv[:4] == (
        "bash",
        "-c",
        'set -e\nmodule load cuda\nexec "$@"',
        "dsr1",
    )


RUN_ID, ANOTHER = "0123456789abcdef" * 2, "fedcba9876543210" * 2


@pytest.mark.parametrize("recipe", ["dsr1-dep", "dsr1-vllm", "dsr1-disagg-h200"])
def test_every_process_and_host_has_the_runs_identity(recipe: str) -> None:
    """A recipe's own value doesn't hide it: orders for a process are refused without it."""
    chosen = load_recipe(recipe, ["runtime.env.DSR1_RUN_ID=mine", "frontend.env.DSR1_RUN_ID=mine"])
    hosts = tuple(Host(f"h{n}", f"10.0.0.{n}") for n in range(4))
    plan = make_plan(chosen, hosts, "r", "/run/r", run_id=RUN_ID)
    assert plan.run_id == RUN_ID
    assert {host.run_id for host in plan.hosts} == {RUN_ID}
    found = [[v.value for v in p.env if v.name == "DSR1_RUN_ID"] for p in plan.processes]
    assert found == [[RUN_ID]] * len(plan.processes)


def test_no_two_runs_and_restarts_share_a_namespace() -> None:
    """Run r restarted and run r-1, a-b and a_b, and two users' runs of one name."""
    runs = [(name, RUN_ID[n:] + RUN_ID[:n]) for n, name in enumerate(("r", "r-1", "a-b", "a_b"))]
    runs.append(("r", ANOTHER))
    plans = [make_plan(load_recipe("dsr1-dep"), TWO, name, "/run", run_id=i) for name, i in runs]
    attempts = [again for plan in plans for again in (plan, *(plan_again(plan, n) for n in (1, 2)))]
    namespaces = [plan.service.namespace for plan in attempts]
    assert len(set(namespaces)) == len(attempts) == 15
    for plan, namespace in zip(attempts, namespaces, strict=True):
        told = {v.value for p in plan.processes for v in p.env if v.name == "DYN_NAMESPACE"}
        assert told == {namespace}


def test_every_stack_has_its_traits_and_its_commands() -> None:
    assert STACKS.keys() == STACK_TRAITS.keys()
    for name, stack in STACKS.items():
        traits = STACK_TRAITS[name]
        assert (stack.frontend is None) == traits.own_servers, name
        assert (stack.registrations is None) == (not traits.has_discovery), name


def test_an_unknown_stack_names_those_that_there_are() -> None:
    with pytest.raises(InputError, match=r"t\.yaml:3: stack: must be dynamo or vllm or mocker"):
        planned("main: {}", stack="sglang")


def picked(plan: Plan, host: str) -> dict[str, int]:
    return {
        process.name: int(v.value)
        for process in plan.processes
        for v in process.env
        if v.name == "VLLM_PORT" and process.host == host
    }


@pytest.mark.parametrize(
    ("engines", "stack"),
    [
        ("main: {layout: per_gpu}", "dynamo"),
        ("main: {layout: headless, ranks_per_node: 2}", "vllm"),
        (
            "p: {role: prefill, nodes: 1, ranks_per_node: 2, replicas: 2}, d: {role: decode, nodes:"
            " 2, ranks_per_node: 4, layout: per_gpu}",
            "dynamo",
        ),
    ],
)
def test_ports_that_vllm_picks_are_planned(engines: str, stack: str) -> None:
    """Each process has a range of its own on its machine, below the ephemeral ports, among those
    that are reserved and checked."""
    plan = planned(engines, stack=stack)
    for host in plan.hosts:
        firsts = picked(plan, host.host)
        assert firsts.keys() == {p.name for p in host.processes if p.ranks}
        ports = [port for process in host.processes for port in process.ports]
        assert len(ports) == len(set(ports))
        assert max(ports) < 32768
        for process in host.processes:
            if process.ranks:
                first = firsts[process.name]
                assert {*range(first, first + 8)} <= {*process.ports}


def test_nodes_of_one_machine_pick_from_ports_of_their_own() -> None:
    plan = planned("main: {nodes: 3, ranks_per_node: 2, layout: per_gpu}", this_machine(3, 8))
    firsts = sorted(p for host in plan.hosts for p in picked(plan, host.host).values())
    assert [b - a for a, b in pairwise(firsts)] == [8] * 5


def test_simulated_engines_pick_none() -> None:
    plan = planned("main: {}", stack="mocker")
    assert not any(picked(plan, host.host) for host in plan.hosts)


@pytest.mark.parametrize(("vllm", "several"), [("0.23.0", False), ("0.31.0", True), ("", True)])
@pytest.mark.parametrize("layout", ["per_node", "per_gpu"])
def test_ranks_that_would_pick_the_same_are_not_told(vllm: str, several: bool, layout: str) -> None:
    """Before vLLM 0.31 every rank of a process picks from it at once."""
    answer = runtime_fact(RuntimeAnswer(vllm=vllm, variables=("VLLM_PORT",)))
    recipe = load_recipe("dsr1-dep", [f"engines.main.layout={layout}"])
    plan = make_plan(recipe, TWO, "r", "/r", {"a": {"runtime": answer}})
    assert bool(picked(plan, "b")) == (several or layout == "per_gpu")
    assert any("VLLM_PORT: left out" in note for note in plan.notes) != several
