"""Where `dsr1 why` takes its evidence from: the failure's own, else the logs that are here."""

from dataclasses import replace
from pathlib import Path

import pytest

from dsr1.hosts.errors import LaunchFailed
from dsr1.hosts.protocol.evidence import HostEvidence, ProcessDeath
from dsr1.launcher.operate.why import explain_folder, explain_run
from dsr1.launcher.recipe.load import load_recipe
from dsr1.launcher.run.evidence import add_heard, keep_evidence, read_evidence, wants_more
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run
from dsr1.launcher.triage.judge import Cause
from dsr1.launcher.triage.rules import ITSELF, OWN_ERROR
from dsr1.launcher.triage.signs import Sign

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
