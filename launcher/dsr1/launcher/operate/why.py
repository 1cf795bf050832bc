"""Why a run failed: from the evidence that was taken then, else from the logs that it left."""

from collections.abc import Mapping
from pathlib import Path

from dsr1.hosts.dataclass import dataclass
from dsr1.hosts.errors import InputError, LaunchFailed
from dsr1.hosts.protocol.evidence import HostEvidence
from dsr1.launcher.operate.backends import backend_of
from dsr1.launcher.operate.status import only_on, refuse_elsewhere, refuse_unplanned
from dsr1.launcher.run.evidence import (
    failures_before,
    gather_from_hosts,
    judge_evidence,
    read_evidence,
)
from dsr1.launcher.run.record.failures import earlier_failures
from dsr1.launcher.run.record.history import read_history
from dsr1.launcher.run.state import RunState
from dsr1.launcher.run.store import Run
from dsr1.launcher.triage.earlier import EarlierFailure, without_earlier
from dsr1.launcher.triage.folder import planned_ranks, read_addresses, read_folder
from dsr1.launcher.triage.judge import Cause, find_cause
from dsr1.launcher.triage.rules import load_rules


@dataclass(frozen=True, slots=True)
class Explanation:
    """`cause` None: nothing that was found says why. `source`: where the evidence is from.
    `earlier`: what had failed and was over before."""

    cause: Cause | None
    evidence: Mapping[str, HostEvidence]
    source: str
    earlier: tuple[EarlierFailure, ...] = ()


def explain_folder(folder: Path) -> Explanation:
    """Logs that somebody sent, or an unpacked bundle. InputError: there are none."""
    if evidence := read_evidence(Run(folder)):
        earlier = failures_before(Run(folder), evidence)
        cause = find_cause(without_earlier(evidence, earlier), load_rules(), {})
        return Explanation(cause, evidence, str(folder), earlier)
    evidence = read_folder(folder, planned_ranks(folder))
    cause = find_cause(evidence, load_rules(), read_addresses(folder))
    return Explanation(cause, evidence, str(folder))


def explain_run(run: Run) -> Explanation:
    """A run that has not failed, or serves on since, is asked on its hosts now: a hang shows
    there. What failed last is told where they show nothing newer."""
    state, evidence = run.state(), read_evidence(run)
    host = only_on(run, state)
    if evidence:
        now = _explain_now(run, state) if has_got_over(state) and not host else None
        return now if now and now.cause else _explain_failure(run, state, evidence)
    if state.phase == "stopped":
        return Explanation(None, {}, f"{run.name} was stopped ({state.reason})")
    if host:
        refuse_elsewhere(run)
    if not state.ended:
        refuse_unplanned(run)
        return _explain_now(run, state)
    try:
        return explain_folder(run.folder)
    except InputError:
        why = state.reason or "it says nothing of a failure"
        raise LaunchFailed(f"{run.name}: no evidence was taken and no log is here: {why}") from None


def has_got_over(state: RunState) -> bool:
    """No failure is being dealt with."""
    return state.serves and not any(one.state.phase == "ending" for one in state.engines)


def _explain_now(run: Run, state: RunState) -> Explanation:
    plan, earlier = run.plan(), earlier_failures(read_history(run))
    evidence = gather_from_hosts(backend_of(run).transport(run), plan, hang=True)
    cause = judge_evidence(evidence, plan, state.ailing, earlier)
    return Explanation(cause, evidence, "its hosts, now", earlier)


def _explain_failure(
    run: Run, state: RunState, evidence: Mapping[str, HostEvidence]
) -> Explanation:
    earlier = failures_before(run, evidence)
    cause = judge_evidence(evidence, run.plan(), state.ailing, earlier)
    return Explanation(cause, evidence, "the failure", earlier)
