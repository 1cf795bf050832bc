"""What the runtime told against a plan: findings with today's spelling, and what dsr1 itself adds
left out."""

from dataclasses import replace

import pytest
from tests.unit.launcher.tell import Teller

from dsr1.hosts.errors import HostError
from dsr1.hosts.inventory.host import Host
from dsr1.hosts.protocol.facts.fact import Fact, Facts
from dsr1.hosts.protocol.runtime import CommandVerdict, FlagParser, RuntimeAnswer, RuntimeQuestion
from dsr1.launcher.commands.dynamo_versions import RUNTIME
from dsr1.launcher.plan.plan import make_plan
from dsr1.launcher.plan.runtime_knowledge import runtime_answers, runtime_fact
from dsr1.launcher.preflight.draft import make_draft
from dsr1.launcher.preflight.runtime_checks import IDS, judge_runtimes
from dsr1.launcher.preflight.runtime_probe import RuntimeProbe, one_of_each
from dsr1.launcher.preflight.runtime_question import make_question
from dsr1.launcher.recipe.load import load_recipe

HOSTS = (Host("a", "10.0.0.1", "eth0"), Host("b", "10.0.0.2", "eth0"))
RECIPE = load_recipe("dsr1-dep")
ARGV = make_question(RECIPE, make_plan(RECIPE, HOSTS, "r", "f")).commands[0].argv
WORKER = FlagParser(
    "dynamo.vllm", ("--load-format", *(word for word in ARGV if word.startswith("--")))
)
FRONTEND = FlagParser("dynamo.frontend", ("--http-host", "--http-port", "--router-mode"))
KNOWN = ("VLLM_ENGINE_READY_TIMEOUT_S", "VLLM_HOST_IP", "VLLM_USE_DEEP_GEMM")
TOLD = RuntimeAnswer("0.31.0", "1.6.1", KNOWN, (WORKER, FRONTEND), ("auto", "fastsafetensors"))


def rows(answer: RuntimeAnswer, *changes: str) -> list[tuple[str, str, str, str]]:
    told: dict[str, Facts | HostError] = {"a": {RUNTIME: runtime_fact(answer)}, "b": {}}
    found = judge_runtimes(make_draft(load_recipe("dsr1-dep", changes), HOSTS), told, IDS)
    return [
        (finding.check, finding.verdict, finding.seen, finding.fix)
        for finding in found
        if finding.host == "a"
    ]


def one(answer: RuntimeAnswer, check: str, *changes: str) -> tuple[str, str, str]:
    (found,) = [row[1:] for row in rows(answer, *changes) if row[0] == check]
    return found


def test_what_is_known_passes() -> None:
    told = replace(
        TOLD, verdicts=(CommandVerdict("main-0", "accepted"), CommandVerdict("main-1", "accepted"))
    )
    assert [(check, verdict) for check, verdict, *_ in rows(told)] == [
        (check, "SKIP" if check == "sw.handshake" else "PASS") for check in IDS
    ]


@pytest.mark.parametrize(
    ("name", "verdict", "fix"),
    [
        ("VLLM_ATTENTION_BACKEND", "FAIL", "attention-backend"),
        (
            "VLLM_ALL2ALL_BACKEND",
            "WARN",
            "all2all_backend",
        ),  # the recipe has the key, too: nothing is lost
        ("VLLM_USE_DEEPGEMM", "WARN", "Did you mean VLLM_USE_DEEP_GEMM?"),
        ("VLLM_SOMETHING_ELSE", "WARN", "Leave it out."),
        ("DYN_VLLM_KV_EVENT_PORT", "FAIL", "kv-events-config"),
    ],
)
def test_a_variable_that_is_not_known(name: str, verdict: str, fix: str) -> None:
    seen = one(TOLD, "sw.variables", f"engines.main.env.{name}=1")
    assert (seen[0], seen[1].split(":")[0], fix in seen[2]) == (verdict, name, True)


def test_what_would_be_lost_fails() -> None:
    lost = ("engines.main.env.VLLM_ALL2ALL_BACKEND=x", "engines.main.all2all_backend=null")
    assert one(TOLD, "sw.variables", *lost)[0] == "FAIL"


def test_an_old_vllm_that_knows_it_is_content() -> None:
    old = RuntimeAnswer("0.10.0", "0.4", (*KNOWN, "VLLM_ALL2ALL_BACKEND"), (WORKER, FRONTEND))
    assert one(old, "sw.variables", "engines.main.env.VLLM_ALL2ALL_BACKEND=x")[0] == "PASS"


@pytest.mark.parametrize(
    ("change", "verdict", "fix"),
    [
        ("engines.main.args={is-prefill-worker: true}", "FAIL", "role: prefill"),
        ("engines.main.args={max-num-seq: 3}", "FAIL", "Did you mean --max-num-seqs?"),
        ('engines.main.args={"x": "a b\';id"}', "FAIL", "python -m dynamo.vllm --help"),
        ("engines.main.args={some-config.level: 3}", "FAIL", "--help"),
        ("engines.main.args={load-format: fast}", "WARN", "A plugin may add it"),
        ("engines.main.all2all_backend=pplx", "FAIL", "deepep_low_latency"),
    ],
)
def test_a_flag_that_is_not_known(change: str, verdict: str, fix: str) -> None:
    """All ranks that have it are one row."""
    seen = one(TOLD, "sw.flags", change)
    assert (seen[0], fix in seen[2]) == (verdict, True)
    assert seen[1].startswith("main-0, main-1: ")


def test_the_frontends_flags_are_its_own() -> None:
    assert one(TOLD, "sw.flags", "frontend.args={block-size: 3}")[1].startswith(
        "frontend: --block-size"
    )


def test_what_vllm_refuses_is_told_in_its_words_once_for_all_ranks() -> None:
    said = (
        CommandVerdict("main-0", "refused", "no'; <b>"),
        CommandVerdict("main-1", "refused", "no'; <b>"),
    )
    told = RuntimeAnswer("0.31.0", "1.6.1", KNOWN, (WORKER, FRONTEND), (), said)
    assert one(told, "sw.arguments")[:2] == ("FAIL", "main (main-0, main-1): no'; <b>")


def test_a_runtime_that_tells_nothing_is_unknown_with_the_reason() -> None:
    assert [row[:3] for row in rows(RuntimeAnswer(problem="no vllm"))] == [
        (c, "UNKNOWN", "no vllm") for c in IDS
    ]
    lost = {"a": {RUNTIME: runtime_fact(HostError("a: gone"))}}
    found = judge_runtimes(make_draft(load_recipe("dsr1-dep"), HOSTS), lost, IDS)
    assert {(finding.verdict, finding.seen) for finding in found} == {("UNKNOWN", "a: gone")}
    spoilt = {"a": {RUNTIME: Fact({"vllm": 3}, "")}}
    assert {
        f.verdict for f in judge_runtimes(make_draft(load_recipe("dsr1-dep"), HOSTS), spoilt, IDS)
    } == {"UNKNOWN"}


def test_hosts_that_can_not_hold_the_plan() -> None:
    wide = load_recipe("dsr1-dep", ["engines.main.nodes=3"])
    found = list(judge_runtimes(make_draft(wide, HOSTS), {"a": {RUNTIME: runtime_fact(TOLD)}}, IDS))
    assert {finding.verdict for finding in found} == {"UNKNOWN"}
    assert "needs 3 hosts" in found[0].seen


def test_the_simulator_has_no_vllm_to_ask() -> None:
    sizes = (
        "--data-parallel-size",
        "--max-model-len",
        "--max-num-seqs",
        "--max-num-batched-tokens",
    )
    mocker = FlagParser(
        "dynamo.mocker", ("--model-path", "--model-name", "--zmq-kv-events-ports", *sizes)
    )
    told = RuntimeAnswer("", "1.6.1", (), (mocker, FRONTEND))
    found = {
        check: verdict for check, verdict, *_ in rows(told, "stack=mocker", "engines.main.args={}")
    }
    assert found == {
        "sw.variables": "SKIP",
        "sw.flags": "PASS",
        "sw.arguments": "SKIP",
        "sw.handshake": "SKIP",
    }


def test_what_dsr1_adds_and_the_runtime_does_not_know_is_left_out() -> None:
    facts = {"a": {RUNTIME: runtime_fact(TOLD)}, "b": {}}
    recipe = load_recipe("dsr1-dep", ["engines.main.env.VLLM_OF_THE_RECIPE=1"])
    plan = make_plan(recipe, HOSTS, "r", "/f", facts)
    names = {variable.name for process in plan.processes for variable in process.env}
    assert {name for name in names if name.startswith("VLLM_")} == {
        *KNOWN[:2],
        "VLLM_OF_THE_RECIPE",
    }
    assert "VLLM_NO_USAGE_STATS (default): the runtime does not know it, left out" in plan.notes
    told = (
        "VLLM_OF_THE_RECIPE (recipe engines.main.env): the runtime does not know it, `dsr1 check"
        " --only sw` says"
    )
    assert any(note.startswith(told) for note in plan.notes)
    assert runtime_answers(facts)["a"] == TOLD


def test_what_one_engine_asks_for_stays_there_alone() -> None:
    facts = {"a": {RUNTIME: runtime_fact(TOLD)}, "b": {}}
    changes = ("engines={p: {nodes: 1, env: {VLLM_NO_USAGE_STATS: 1}}, q: {nodes: 1}}",)
    plan = make_plan(load_recipe("dsr1-dep", changes), HOSTS, "r", "/f", facts)
    having = [
        process.name
        for process in plan.processes
        if "VLLM_NO_USAGE_STATS" in {v.name for v in process.env}
    ]
    assert {name.partition("-")[0] for name in having} == {"p"}


def test_nothing_is_left_out_for_a_runtime_that_could_not_be_asked() -> None:
    facts: dict[str, Facts] = {"a": {RUNTIME: runtime_fact(RuntimeAnswer(problem="x"))}, "b": {}}
    recipe = load_recipe("dsr1-dep")
    assert make_plan(recipe, HOSTS, "r", "/f", facts) == make_plan(
        recipe, HOSTS, "r", "/f", {"a": {}, "b": {}}
    )


def test_a_question_is_the_same_for_the_next_run_on_other_addresses() -> None:
    recipe = load_recipe("dsr1-dep", ["runtime.setup=[module load x]", "engines.main.env.X=1"])

    def question(run: str, base: str) -> RuntimeQuestion:
        hosts = [Host(name, f"{base}.{number}", "eth0") for number, name in enumerate("ab", 1)]
        return make_question(recipe, make_plan(recipe, hosts, run, f"/{run}"))

    assert question("x", "10.0.0") == question("y", "10.9.9")
    first = question("x", "10.0.0").commands[0]
    assert (first.name, first.module, ("X", "1") in first.env) == ("main-0", "dynamo.vllm", True)
    assert question("x", "10.0.0").python[0] == "bash"


@pytest.mark.parametrize("stack", ["dynamo", "vllm"])
def test_a_question_is_the_same_on_other_ports(stack: str) -> None:
    def question(base: int, frontend: int) -> RuntimeQuestion:
        ports = (f"ports.base={base}", f"frontend.port={frontend}")
        recipe = load_recipe("dsr1-dep", (f"stack={stack}", *EVENTS[stack], *ports))
        return make_question(recipe, make_plan(recipe, HOSTS, "r", "/r"))

    assert question(20000, 8000).commands
    assert question(20000, 8000) == question(21000, 8100)


EVENTS = {"dynamo": ("engines.main.kv_events=true", "frontend.router_mode=kv"), "vllm": ()}
SOFTWARE = [{"software": Fact({"vllm": version}, "")} for version in ("0.31", "0.31", "0.32")]


def test_one_host_of_each_runtime_is_asked() -> None:
    lost = HostError("d: gone")
    told: dict[str, Facts | HostError] = {
        "c": SOFTWARE[2],
        "b": SOFTWARE[1],
        "a": SOFTWARE[0],
        "d": lost,
    }
    assert one_of_each(told, "a") == ["a", "c"]
    teller = Teller(TOLD)
    asking = RuntimeProbe(teller, RuntimeQuestion(("python",), "m", ()), "a")
    joined = asking.join(told)
    assert teller.asked == ["a", "c"]
    assert joined["d"] is lost
    assert [host for host in "abc" if RUNTIME in joined[host]] == ["a", "c"]  # type: ignore[operator]


def shaken(prefill: str, decode: str) -> tuple[str, str]:
    """What is found of engines whose vLLM hashes these."""
    verdicts = (
        CommandVerdict("prefill-0", "accepted", prefill),
        CommandVerdict("decode-0", "accepted", decode),
    )
    hosts = [Host(name, f"10.0.0.{n}", "eth0") for n, name in enumerate("abcd", 1)]
    told: dict[str, Facts | HostError] = {
        "a": {RUNTIME: runtime_fact(replace(TOLD, verdicts=verdicts))}
    }
    draft = make_draft(load_recipe("dsr1-disagg-h200"), hosts)
    (found,) = judge_runtimes(draft, told, ["sw.handshake"])
    return found.verdict, found.seen


@pytest.mark.parametrize(
    ("prefill", "decode", "verdict", "said"),
    [
        ('{"cache_dtype": "auto"}', '{"cache_dtype": "auto"}', "PASS", "the same for vLLM 0.31.0"),
        (
            '{"cache_dtype": "auto", "is_hma_enabled": "False"}',
            '{"cache_dtype": "fp8", "is_hma_enabled": "True"}',
            "FAIL",
            "cache_dtype is auto in prefill-0 and fp8 in decode-0; is_hma_enabled is False",
        ),
        ("", '{"cache_dtype": "fp8"}', "UNKNOWN", "does not tell what it hashes"),
        ("", "", "UNKNOWN", "does not tell"),
    ],
)
def test_what_vllm_hashes_for_a_transfer(
    prefill: str, decode: str, verdict: str, said: str
) -> None:
    found = shaken(prefill, decode)
    assert (found[0], said in found[1]) == (verdict, True), found
