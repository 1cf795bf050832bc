"""Who is watched through which server, and which questions reach every rank, in every layout."""

from dsr1.hosts.inventory.host import Host
from dsr1.launcher.health.counters import RankCounters
from dsr1.launcher.health.due import DueQuestions
from dsr1.launcher.health.judge import RankRecord
from dsr1.launcher.health.members import (
    Question,
    frontend_gets,
    frontends_of,
    make_questions,
    watched_ranks,
    worker_gets,
)
from dsr1.launcher.plan.plan import Plan, make_plan
from dsr1.launcher.recipe.load import parse_recipe

HOSTS = [Host(f"n{n}", f"10.0.0.{n}", "eth0") for n in (1, 2)]


def plan_of(stack: str, engines: str, more: str = "") -> Plan:
    text = f"name: t\nmodel: {{path: /m}}\nstack: {stack}\nengines: {engines}\n{more}"
    return make_plan(parse_recipe(text, "t.yaml"), HOSTS, "r", "/r")


EIGHT = "{main: {nodes: 2, ranks_per_node: 2, layout: LAYOUT}}"


def served_by(plan: Plan) -> list[tuple[int, str, str, int, int]]:
    return [
        (rank.planned.rank, rank.planned.host, rank.worker.process, rank.number, rank.index)
        for rank in watched_ranks(plan)
    ]


def test_each_node_serves_its_own() -> None:
    plan = plan_of("dynamo", EIGHT.replace("LAYOUT", "per_node"))
    assert served_by(plan) == [
        (0, "n1", "main-0", 0, 0),
        (1, "n1", "main-0", 1, 1),
        (2, "n2", "main-1", 2, 0),
        (3, "n2", "main-1", 3, 1),
    ]


def test_a_headless_leader_speaks_for_all() -> None:
    for stack in ("dynamo", "vllm"):
        plan = plan_of(stack, EIGHT.replace("LAYOUT", "headless"))
        assert served_by(plan) == [
            (0, "n1", "main-0", 0, 0),
            (1, "n1", "main-0", 1, 1),
            (2, "n2", "main-0", 2, 2),
            (3, "n2", "main-0", 3, 3),
        ]
        assert {rank.server_host for rank in watched_ranks(plan)} == {"n1"}


def test_a_simulator_counts_its_ranks_from_0() -> None:
    plan = plan_of("mocker", EIGHT.replace("LAYOUT", "per_node"))
    assert [one[3] for one in served_by(plan)] == [0, 1, 0, 1]


def test_vllms_own_servers_are_asked_themselves() -> None:
    plan = plan_of("vllm", EIGHT.replace("LAYOUT", "per_gpu"))
    targets = [question.target({}) for question in make_questions(watched_ranks(plan))]
    assert [(one.url, one.index) for one in targets if one] == [
        ("http://10.0.0.1:20002", 0),
        ("http://10.0.0.1:20003", 0),
        ("http://10.0.0.2:20004", 0),
        ("http://10.0.0.2:20005", 0),
    ]
    assert frontends_of(plan) == ()
    assert frontend_gets(plan, 5.0) == {}


def test_every_get_is_of_the_plans_own_ports() -> None:
    for stack in ("dynamo", "vllm", "mocker"):
        plan = plan_of(stack, EIGHT.replace("LAYOUT", "per_node"))
        ports = {process.name: process.ports for process in plan.processes}
        gets = [get for rank in watched_ranks(plan) for get in worker_gets(rank.worker, 5.0)]
        gets += [get for one in frontend_gets(plan, 5.0).values() for get in one]
        assert all(get.port in ports[get.process] for get in gets)


def test_frontends_are_watched_and_the_gateway_is_not() -> None:
    plan = plan_of("dynamo", EIGHT.replace("LAYOUT", "per_node"), "frontend: {replicas: 2}")
    assert [(row.process, row.host) for row in frontends_of(plan)] == [
        ("frontend-0", "n1"),
        ("frontend-1", "n2"),
    ]
    gets = frontend_gets(plan, 5.0)
    assert [(host, one[0].address) for host, one in gets.items()] == [
        ("n1", "10.0.0.1"),
        ("n2", "10.0.0.2"),
    ]


APART = "{p: {role: prefill, nodes: 1, ranks_per_node: 3}, d: {role: decode, nodes: 1, ranks_per_node: 2}}"


def pairs(questions: tuple[Question, ...]) -> list[tuple[int, int]]:
    return [(q.answering.planned.rank, q.prefill.planned.rank) for q in questions if q.prefill]


def test_apart_every_rank_is_in_a_question_and_pairs_change() -> None:
    ranks = watched_ranks(plan_of("dynamo", APART))
    assert pairs(make_questions(ranks)) == [(0, 0), (1, 1), (0, 2)]
    assert pairs(make_questions(ranks, 1)) == [(0, 1), (1, 2), (0, 0)]
    target = make_questions(ranks)[1].target({"p-0": 7, "d-0": 8})
    assert target is not None
    assert (target.worker, target.rank, target.prefill, target.prefill_rank) == (8, 1, 7, 1)
    assert make_questions(ranks)[0].target({"d-0": 8}) is None


def test_of_two_ranks_the_one_that_shows_it_is_to_blame() -> None:
    question = make_questions(watched_ranks(plan_of("dynamo", APART)))[0]
    decode, prefill = question.ranks
    assert question.excuses(decode, {prefill.key})
    assert not question.excuses(prefill, {prefill.key})
    assert not question.excuses(decode, set())
    assert not question.excuses(decode, {decode.key, prefill.key})


def records(plan: Plan, counters: RankCounters, bad: int = 0) -> dict[tuple[str, int], RankRecord]:
    return {
        rank.key: RankRecord(rank.unjudged, bad=bad, counters=counters)
        for rank in watched_ranks(plan)
    }


def test_idle_ranks_are_asked_in_turn_busy_ones_for_a_hundredth_of_their_work() -> None:
    plan = plan_of("dynamo", EIGHT.replace("LAYOUT", "per_node"))
    ranks = watched_ranks(plan)
    questions, due = make_questions(ranks), DueQuestions(ranks, 20.0, 0.0)

    def asked(now: float, tokens: float, pending: int, bad: int = 0) -> int:
        known = records(plan, RankCounters((tokens,), pending, tokens), bad)
        return len(due.choose(questions, known, (), now))

    assert [asked(now, 0, 0) for now in (0.0, 5.0, 10.0, 15.0, 20.0)] == [0, 1, 1, 1, 1]
    assert asked(1000.0, 3000, 9) == 0, "3200 tokens earn a question"
    assert asked(1000.0, 3200, 9) == 4
    assert asked(1001.0, 3200, 9, bad=1) == 4, "who seems unwell is asked at once"


def test_who_is_waited_for_is_not_asked_again() -> None:
    plan = plan_of("dynamo", EIGHT.replace("LAYOUT", "per_node"))
    ranks = watched_ranks(plan)
    due = DueQuestions(ranks, 20.0, 0.0)
    known = records(plan, RankCounters())
    chosen = due.choose(make_questions(ranks), known, {ranks[0].key}, 100.0)
    assert [q.answering.key for q in chosen] == [rank.key for rank in ranks[1:]]
