"""Where `dsr1 why` takes its evidence from: the failure's own, else the logs that are here."""

from dataclasses import replace
from pathlib import Path

import pytest

from dsr1.hosts.errors import LaunchFailed
from dsr1.hosts.protocol.evidence import (
    GpuState,
    HostEvidence,
    KernelLine,
    MemberState,
    ProcessDeath,
)
from dsr1.launcher.health.verdicts import FAILED, STALLED, RankHealth
from dsr1.launcher.lifecycle.deployment import EngineUnit
from dsr1.launcher.lifecycle.state import EngineState, RestartPolicy
from dsr1.launcher.operate.why import explain_folder, explain_run, has_got_over
from dsr1.launcher.plan.plan import Plan, ServiceTarget
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.run.evidence import (
    add_heard,
    judge_evidence,
    keep_evidence,
    read_evidence,
    wants_more,
)
from dsr1.launcher.run.folder import RunFolder
from dsr1.launcher.run.record.failures import earlier_failures
from dsr1.launcher.run.record.history import Change, read_history
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run
from dsr1.launcher.triage.earlier import EarlierFailure, without_earlier
from dsr1.launcher.triage.judge import Cause
from dsr1.launcher.triage.render import render_why
from dsr1.launcher.triage.rules import ITSELF, OWN_ERROR
from dsr1.launcher.triage.signs import Sign

NO_PLAN = Plan("r", "", "t", (), ServiceTarget("local0", 8000, "m", 1), ())
DEATHS = Path(__file__).parents[3] / "data" / "h200-x4" / "deaths"
DEATH = ProcessDeath("main-0", "Worker_DP0", 7, -9, 100.0)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = Run(tmp_path / "r")
    made.claim(load_recipe("dsr1-dep"), "starting")
    return made


def test_a_stopped_run_has_not_failed(run: Run) -> None:
    run.save(RunState("stopped", 1.0, reason="asked to stop"))
    found = explain_run(run)
    assert (found.cause, found.source) == (None, "r was stopped (asked to stop)")


def test_a_run_that_has_begun_nothing_says_how_it_is(run: Run) -> None:
    with pytest.raises(LaunchFailed, match="r: abandoned, and has no processes"):
        explain_run(run)


def test_without_evidence_and_logs_the_reason_is_given(run: Run) -> None:
    run.save(RunState("failed", 1.0, reason="node5 is lost"))
    with pytest.raises(LaunchFailed, match="no log is here: node5 is lost"):
        explain_run(run)


def test_a_failed_run_on_this_machine_is_read_from_its_logs(run: Run) -> None:
    run.save(RunState("failed", 1.0, reason="main-0 ended"))
    logs = run.folder / "hosts" / "node1" / "logs"
    logs.mkdir(parents=True)
    (logs / "main-0.log").write_text("RuntimeError: CUDA error: device-side assert triggered\n")
    cause = explain_run(run).cause
    assert cause is not None
    assert (cause.sign.host, cause.sign.rule) == ("node1", "cuda.assert")


def test_evidence_is_kept_and_read_again_also_from_an_unpacked_bundle(run: Run) -> None:
    evidence = {"node1": HostEvidence("node1", now=101.0, deaths=(DEATH,))}
    keep_evidence(run, evidence)
    assert read_evidence(run) == evidence
    cause = explain_folder(run.folder).cause
    assert cause is not None
    assert cause.sign.what == "Worker ended by SIGKILL"


@pytest.mark.parametrize(
    ("late", "tier", "more"),
    [(True, OWN_ERROR, True), (True, ITSELF, False), (False, OWN_ERROR, False), (True, None, True)],
)
def test_a_slow_host_is_waited_for_where_the_cause_is_not_clear(
    late: bool, tier: int | None, more: bool
) -> None:
    cause = None if tier is None else Cause(Sign(tier, None, "node1", "main-0", "ended"), False)
    assert wants_more(cause, {"node1": HostEvidence("node1", late=late)}) is more


def test_what_an_agent_told_counts_where_its_host_is_late() -> None:
    late = HostEvidence("node1", late=True)
    assert add_heard(late, [DEATH]).deaths == (DEATH,)
    ahead = replace(late, ahead_s=3600.0)
    assert [death.time for death in add_heard(ahead, [DEATH]).deaths] == [DEATH.time + 3600]
    known = HostEvidence("node1", deaths=(DEATH,))
    assert add_heard(known, [DEATH]) == known


def test_the_newest_failure_is_named_and_the_older_one_is_history() -> None:
    """As four H200 showed: `each` had failed and was gone before `pair` did."""
    found = explain_folder(DEATHS / "second-enginecore-killed")
    assert found.cause is not None
    sign = found.cause.sign
    assert (sign.host, sign.engine, sign.what) == ("local1", "pair", "EngineCore ended by SIGKILL")
    assert found.cause.certain
    assert [one.engine for one in found.earlier] == ["each"]
    assert all(victim.engine != "each" for victim in found.cause.victims)
    shown = "\n".join(render_why(found.cause, found.evidence, found.earlier))
    assert "Failures before it, which were over:\n" in shown
    assert "each: EngineCore_DP1 of each-1 ended by signal SIGKILL, unasked" in shown


def test_a_death_after_a_restart_of_all_is_the_one_that_is_named() -> None:
    """Prefill and decode on one machine: decode's engine had died, both had been restarted and
    served again; then a Worker of prefill's."""
    found = explain_folder(DEATHS / "restarted-worker-killed")
    assert found.cause is not None
    sign = found.cause.sign
    assert (sign.engine, sign.rank, sign.what) == ("prefill", 1, "Worker ended by SIGKILL")
    assert found.cause.certain
    shown = "\n".join(render_why(found.cause, found.evidence, found.earlier))
    assert "the run: EngineCore_DP1 of decode-0 ended by signal SIGKILL, unasked" in shown


def test_what_only_its_second_is_known_of_follows_the_death_in_that_second() -> None:
    """vLLM's lines tell whole seconds, as of which every follower would come before the death."""
    found = explain_folder(DEATHS / "restarted-worker-killed")
    assert found.cause is not None
    shown = [*render_why(found.cause, found.evidence)]
    begin = shown.index("\nIn order, by this machine's clock:") + 1
    order = [line.split(maxsplit=1) for line in shown[begin : begin + 5]]
    assert order[0][1] == "localhost rank 1 (prefill): Worker ended by SIGKILL"
    assert len(order[0][0]) == len("15:29:11.596")
    assert [clock for clock, _ in order[2:]] == [order[0][0][:8]] * 3


def test_a_hang_is_named_while_it_lasts_though_another_engine_died_before() -> None:
    """Asked before anything of `pair` was suspected; `each` is still in the state as unwell."""
    case = DEATHS / "second-worker-stopped"
    history = [one for one in read_history(RunFolder(case)) if one.engine != "pair"]
    began = next(one.time for one in history if one.what == "ending")
    row = RankHealth("each", 0, "local0", "each-0", FAILED, STALLED, "stands still", began - 20)
    old = ProcessDeath("each-1", "EngineCore_DP1", 7274, -9, began - 0.1)
    evidence = read_evidence(Run(case))
    evidence["local0"] = add_heard(replace(evidence["local0"], deaths=()), [old])
    cause = judge_evidence(evidence, NO_PLAN, [row], earlier_failures(history))
    assert cause is not None
    assert (cause.sign.engine, cause.sign.rule, cause.sign.rank) == ("pair", "stuck", 1)
    assert cause.certain


def test_a_hang_after_a_workers_want_of_memory_has_that_cause() -> None:
    """vLLM heard of the first rank of a TP group alone: the second ran out of memory 108 times in
    eight seconds, no process ended, and the run hung."""
    case = DEATHS / "memory-taken-while-serving"
    found = explain_folder(case)
    now = 1795776930.0
    evidence = {"localhost": replace(found.evidence["localhost"], hang=True, now=now)}
    row = RankHealth("main", 0, "localhost", "main-0", FAILED, STALLED, "no progress", now - 2)
    members = tuple(
        MemberState("main-0", f"Worker_DP{pid // 2}_TP{pid % 2}_EP{pid}", pid, "R")
        for pid in range(4)
    )
    gpus = tuple(GpuState(pid, (pid,), busy_percent=0 if pid == 1 else 100) for pid in range(4))
    host = replace(evidence["localhost"], members=members, gpus=gpus)
    for cause in (
        found.cause,
        judge_evidence(evidence, NO_PLAN, [row]),
        judge_evidence({"localhost": host}, NO_PLAN, [row]),
        judge_evidence({"localhost": host}, NO_PLAN),
    ):
        assert cause is not None
        assert (cause.sign.rule, cause.sign.rank) == ("cuda.out_of_memory", 0)
        assert cause.certain
    later = judge_evidence({"localhost": replace(host, now=now + 300)}, NO_PLAN)
    assert later is not None
    assert later.sign.rule == "idle"  # what was survived long ago


E0, E1 = "a died", "b died"


def moved(time: float, engine: str, what: str, why: str = "") -> Change:
    return Change(time, "supervisor", what, why, engine)


@pytest.mark.parametrize(
    ("changes", "seen_at", "over"),
    [
        # a failed and stayed ended, then b failed
        ([moved(1, "a", "ending", E0), moved(3, "a", "failed"), moved(9, "b", "ending")], 9, ["a"]),
        # b failed while a was being ended: one failure
        ([moved(1, "a", "ending", E0), moved(2, "b", "ending", E1), moved(3, "a", "failed")], 3, []),
        # of the only one, although it is over by now
        ([moved(1, "a", "ending", E0), moved(3, "a", "failed")], 2, []),
        # the same engine again, after its restart
        ([moved(1, "a", "ending"), moved(3, "a", "waiting"), moved(9, "a", "ending")], 9, ["a"]),
        # the run ends since a had failed for good: that is no failure of its own
        ([moved(1, "a", "ending", E0), moved(3, "a", "failed"), moved(9, "", "stopping", E0)], 9, []),
        ([moved(1, "a", "ending"), moved(3, "a", "failed"), moved(9, "", "stopping", "lost")], 9, ["a"]),
        # all of it anew
        ([moved(1, "", "stopping"), moved(3, "", "starting"), moved(9, "", "stopping", "x")], 9, [""]),
        # on purpose
        ([moved(1, "a", "ending"), moved(3, "a", "starting"), moved(9, "b", "ending")], 9, []),
        ([moved(1, "a", "ending"), moved(3, "a", "down"), moved(9, "b", "ending")], 9, []),
        ([Change(2, "dsr1 restart", "failed", "", "a"), moved(9, "b", "ending")], 9, []),
        # evidence of an older one, looked at later
        ([moved(1, "a", "ending"), moved(3, "a", "failed"), moved(9, "b", "ending")], 1, []),
        ([], 9, []),
    ],
)  # fmt: skip
def test_which_failures_were_over_before(
    changes: list[Change], seen_at: float, over: list[str]
) -> None:
    assert [one.engine for one in earlier_failures(changes, seen_at)] == over


def test_kills_for_want_of_memory_that_were_over_explain_nothing_newer() -> None:
    line = KernelLine(100.0, "Out of memory: Killed process 7 (python)")
    host = HostEvidence("node1", deaths=(DEATH,), kernel=(line,), oom_kills=1)
    left = without_earlier({"node1": host}, [EarlierFailure("main-0", "", 99.0, 101.0)])["node1"]
    assert (left.deaths, left.kernel, left.oom_kills) == ((), (), 0)
    assert without_earlier({"node1": host}, []) == {"node1": host}


@pytest.mark.parametrize(
    ("phase", "engine", "asked"),
    [
        ("degraded", "failed", True),
        ("ready", "serving", True),
        ("degraded", "ending", False),
        ("unavailable", "waiting", False),
        ("stopping", "serving", False),
    ],
)
def test_hosts_are_asked_again_only_once_a_failure_was_dealt_with(
    phase: str, engine: str, asked: bool
) -> None:
    unit = EngineUnit("a", "decode", RestartPolicy(0, None, 0.0), EngineState((), engine))
    assert has_got_over(RunState(phase, 1.0, engines=(unit,))) is asked
